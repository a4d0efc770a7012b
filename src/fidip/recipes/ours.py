"""Our own experiments: the paper's two methods by short names, the menu of others, and the small ones of the demo."""

from __future__ import annotations

from dataclasses import replace

from fidip.data.augment import Augmentation
from fidip.networks.card import NetworkCard
from fidip.recipes import arxiv
from fidip.training.recipe import Pretrain, Recipe
from fidip.training.teacher import MeanTeacher

VARIED = Augmentation(
    scale=0.35,  # DARK's loader
    rotation=45.0,  # DARK's loader
    brightness=0.3,  # cameras and lamps differ more between homes than the few real images of a training set show
    contrast=0.3,
    saturation=0.3,
    occlusion_probability=0.2,  # blankets, toys, hands
)
"""The published loaders vary geometry only; with few real images colours and occluders have to be varied too."""

FIDIP = replace(arxiv.TABLE2_J, name="fidip")
FINE_TUNE = replace(
    arxiv.BY_NAME["table2-g"],
    name="fine-tune",
    source="paper §5.2, without domain adaptation; real images, synthetic ones or both",
)
DEFAULTS = (FIDIP, FINE_TUNE)
"""The paper's two methods under names that say what they do."""

SHARE = 0.1
"""Of the pose gradient. In the study on rendered domains (docs/study.md) it served all methods better than a third or
three times as much; with 0.3 the domain classifiers did harm. It is to be chosen on a validation file."""

RAMP = 8.0
"""Epochs, a tenth of the budget, before the second term has its full weight: a young head has nothing to agree on."""

_BUDGET = replace(FINE_TUNE, published=None)

DANN = replace(
    _BUDGET,
    name="dann",
    source="ours: Ganin and Lempitsky 2015 on the budget of fine-tune; both domains, no adults",
    method="dann",
    classifier="pooled",
    domain_share=SHARE,  # grows as published
)
MMD = replace(
    _BUDGET,
    name="mmd",
    source="ours: Long et al. 2015 on the budget of fine-tune; both domains",
    method="mmd",
    domain_share=SHARE,
    domain_ramp=RAMP,
)
REGDA = replace(
    _BUDGET,
    name="regda",
    source="ours: Jiang et al. 2021 on the budget of fine-tune; both domains",
    method="regda",
    domain_share=SHARE,
    domain_ramp=RAMP,
)
MEAN_TEACHER = replace(
    _BUDGET,
    name="mean-teacher",
    source="ours: Tarvainen and Valpola 2017, Kim et al. 2022 on the budget of fine-tune; people without labels",
    method="mean-teacher",
    domain_share=SHARE,
    domain_ramp=RAMP,
    unlabelled_share=0.5,  # labelled people are met as often whether there are ten photos or ten thousand
    teacher=MeanTeacher(decay=0.99),  # a memory of 100 steps, of the 900 that 904 images give
)
ADABN = replace(
    _BUDGET,
    name="adabn",
    source="ours: Li et al. 2016 on the budget of fine-tune; real images, whose labels may be missing",
    method="adabn",
)
COLOURS = replace(
    _BUDGET,
    name="colours",
    source="ours: Pitié and Kokaram 2007 on the budget of fine-tune; half of the synthetic pictures in real colours",
    augmentation=replace(_BUDGET.augmentation, borrowed_colours=0.5),
)
MENU = (DANN, MMD, REGDA, MEAN_TEACHER, ADABN, COLOURS)
"""One recipe a method, with the network, epochs, batches and frozen stages of ``fine-tune``: compare them with that."""

ADULT_SMALL = Recipe(
    name="adult-small",
    source="ours: the source network of the demo, trained on rendered adults from nothing",
    network=NetworkCard(
        backbone="resnet-18",
        width=24,  # of the published 64: two million parameters, 4 MB in half precision, for two CPU cores
        head_width=64,
        input_size=(128, 128),  # square, since infants lie any way round
        heatmap_sigma=1.5,
        blur_kernel=5,  # DARK takes 7 for heatmaps of 64x48; these are half as large
        description="adults, rendered",
        licence="Apache-2.0",
    ),
    epochs=40,
    batch_size=32,
    learning_rate=1e-3,
    cosine=True,
    warmup_steps=20,
    synthetic_share=0.5,
    augmentation=VARIED,
)

INFANT_SMALL = replace(
    ADULT_SMALL,
    name="infant-small",
    source="ours: adult-small learns rendered infants of every kind, by day and night",
    network=None,
    backbone="resnet-18",
    epochs=30,
    synthetic_share=0.25,  # flat infants vary most in view and least in light
)

FIDIP_SMALL = Recipe(
    name="fidip-small",
    source="ours: FiDIP on a small network, as much as two CPU cores learn in two minutes; what the demo does",
    backbone="resnet-18",
    epochs=8,
    steps_per_epoch=60,
    batch_size=16,  # twice the steps of 32 at the same cost
    learning_rate=1e-3,  # paper §5.2
    cosine=True,
    warmup_steps=20,
    classifier="pooled",
    domain_weight=0.0005,  # the paper's
    domain_ramp=2.0,
    pretrain=Pretrain(epochs=4, batch_size=64),
    synthetic_share=0.5,
    augmentation=replace(  # milder, for a short run
        VARIED, scale=0.25, brightness=0.15, contrast=0.15, saturation=0.15, occlusion_probability=0.0
    ),
)

SMALL = (ADULT_SMALL, INFANT_SMALL, FIDIP_SMALL)
