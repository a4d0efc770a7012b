"""What is compared: batches that match, one control for all, nested labels."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fidip.annotations import Domain
from fidip.data.sampling import epoch_batches
from fidip.studies.adaptation_study import CANDIDATES
from fidip.studies.pair import FULL, StudySize, labelled, sets, unlabelled
from fidip.studies.treatments import LABELLED_PER_STEP, TREATMENTS, UNLABELLED_PER_STEP, Cell, recipe_of
from fidip.training.adaptation import METHODS
from figures import figure_set

BUDGETS = (0, 10, 30, 60, 200)
SIZE = replace(FULL, labelled=6, unlabelled=4)
POSSIBLE = [(name, budget) for name, one in TREATMENTS.items() for budget in BUDGETS if one.possible(budget)]


@pytest.mark.parametrize(("name", "budget"), POSSIBLE)
def test_every_cell_has_a_recipe_that_agrees_with_itself(name, budget):
    recipe = recipe_of(Cell(name, budget, 3, 0.3), 5, 60)
    recipe.validate()
    assert (recipe.seed, recipe.epochs, recipe.steps_per_epoch) == (3, 5, 60)


@pytest.mark.parametrize(("name", "budget"), POSSIBLE)
def test_every_step_shows_the_same_number_of_labelled_images(name, budget):
    one = TREATMENTS[name]
    real = 600 if one.labels == "all" else budget
    groups = [int(Domain.REAL)] * real + [int(Domain.SYNTHETIC)] * 1000 * one.synthetic + [2] * 400 * one.unlabelled
    order = recipe_of(Cell(name, budget, 0, 0.3), 5, 60).order()
    for batch in epoch_batches(np.array(groups), order, np.random.default_rng(0)):
        found = Counter(np.array(groups)[batch].tolist())
        assert found[0] + found[1] == LABELLED_PER_STEP
        assert found[2] == UNLABELLED_PER_STEP * one.unlabelled
        if real and one.synthetic:
            assert found[0] == (8 if one.labels == "all" else 4)


def test_methods_and_their_control_share_order_and_schedule():
    control = recipe_of(Cell("control", 10, 4), 5, 60)
    for name, one in TREATMENTS.items():
        if not one.exact:
            continue
        recipe = recipe_of(Cell(name, 10, 4, 0.3), 5, 60)
        for field in ("seed", "epochs", "batch_size", "learning_rate", "cosine", "warmup_steps"):
            assert getattr(recipe, field) == getattr(control, field), (name, field)
        assert replace(recipe.augmentation, borrowed_colours=0.0) == control.augmentation
        assert recipe.order() == control.order()


def test_the_control_weighs_nothing_and_every_method_of_the_menu_is_there():
    assert recipe_of(Cell("control", 0, 0, None), 5, 60).domain_share == 0
    assert {one.method for one in TREATMENTS.values()} == set(METHODS)


def test_labels_of_a_small_budget_are_among_those_of_a_larger_one(tmp_path):
    real = figure_set(tmp_path / "real", 10, Domain.REAL, seed=0)
    few, more = (labelled(real, SIZE, budget, seed=1) for budget in (2, 5))
    assert set(few.paths) < set(more.paths) < set(real.paths[:6])
    assert len(few.images) == 2
    others = labelled(real, SIZE, 2, seed=2)
    assert set(others.paths) != set(few.paths)


def test_those_without_labels_are_others_and_have_none(tmp_path):
    real = figure_set(tmp_path / "real", 10, Domain.REAL, seed=0)
    rest = unlabelled(real, SIZE)
    assert rest.paths == real.paths[6:]
    assert not any(person.labelled.any() for image in rest.images for person in image.people)
    assert [p.box for i in rest.images for p in i.people] == [p.box for i in real.images[6:] for p in i.people]


def test_no_two_sets_share_a_seed():
    seeds = [one.seed for one in sets(FULL).values()]
    assert len(set(seeds)) == len(seeds)
    assert isinstance(FULL, StudySize)
    assert FULL.test >= 1000


def test_the_page_tells_what_is_done():
    page = (Path(__file__).parents[1] / "docs" / "study.md").read_text(encoding="utf-8")
    tried = f"{', '.join(f'{share:g}' for share in CANDIDATES[:-1])} and {CANDIDATES[-1]:g}"
    assert f"Shares of {tried} are tried" in page
    numbers = (FULL.synthetic, FULL.unlabelled, FULL.validation, FULL.test)
    assert all(f"| {number} |" in page for number in numbers)
    assert f"for {FULL.epochs * FULL.steps_per_epoch} steps of {LABELLED_PER_STEP} labelled people" in " ".join(
        page.split()
    )
