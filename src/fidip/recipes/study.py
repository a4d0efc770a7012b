"""The recipes of the study of adaptation: the network that every method starts from, and what each is given."""

from __future__ import annotations

from dataclasses import replace

from fidip.recipes.ours import FIDIP_SMALL

STUDY = replace(
    FIDIP_SMALL,
    name="study",
    source="ours: the budget of every method of the study; method, weight and batches are set cell by cell",
    epochs=5,
    classifier=None,
    domain_weight=0.0,
    domain_ramp=0.0,
    pretrain=None,
)

STUDY_SOURCE = replace(
    STUDY,
    name="study-source",
    source="ours: what the study's methods start from; adult-small learns synthetic infants, and nothing else",
    epochs=40,
    synthetic_share=None,
    real_images="none",
)

RECIPES = (STUDY_SOURCE, STUDY)
