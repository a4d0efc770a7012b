"""Settings by text: a table of cases, round trips, and no text that does anything but change a number or be refused."""

from dataclasses import fields, is_dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fidip.errors import RecipeError
from fidip.recipes import RECIPES
from fidip.training.recipe import Pretrain
from fidip.training.settings import setting_names, with_settings
from figures import RECIPE, SUPERVISED

FIDIP = RECIPES["fidip"]
NAMES = setting_names()

GOOD = [
    (RECIPE, "epochs=3", {"epochs": 3}),
    (RECIPE, " epochs = 3 ", {"epochs": 3}),
    (RECIPE, "pretrain.epochs=2", {"pretrain": replace(RECIPE.pretrain, epochs=2)}),
    (RECIPE, "pretrain.steps_per_epoch=none", {"pretrain": replace(RECIPE.pretrain, steps_per_epoch=None)}),
    (RECIPE, "pretrain=none", {"pretrain": None}),
    (RECIPE, "learning_rate=1e-4", {"learning_rate": 0.0001}),
    (RECIPE, "learning_rate=.5", {"learning_rate": 0.5}),
    (RECIPE, "domain_weight=0", {"domain_weight": 0.0}),
    (RECIPE, "frozen=res1,res2", {"frozen": ("res1", "res2")}),
    (RECIPE, "frozen=res1, res2", {"frozen": ("res1", "res2")}),
    (RECIPE, "frozen=", {"frozen": ()}),
    (RECIPE, "milestones=40,60", {"milestones": (40, 60)}),
    (RECIPE, "input_size=288x384", {"input_size": (288, 384)}),
    (RECIPE, "input_size=288,384", {"input_size": (288, 384)}),
    (RECIPE, "input_size=none", {"input_size": None}),
    (RECIPE, "cosine=true", {"cosine": True}),
    (RECIPE, "cosine=False", {"cosine": False}),
    (RECIPE, "alternation=epoch", {"alternation": "epoch"}),
    (RECIPE, "stop_at_accuracy=0.56", {"stop_at_accuracy": 0.56}),
    (RECIPE, "classifier=none", {"classifier": None}),
    (RECIPE, "classifier=flat", {"classifier": "flat"}),
    (RECIPE, "augmentation.rotation=45", {"augmentation": replace(RECIPE.augmentation, rotation=45.0)}),
    (RECIPE, "network.width=8", {"network": replace(RECIPE.network, width=8.0)}),
    (RECIPE, "network.mean=0,0.5,1", {"network": replace(RECIPE.network, mean=(0.0, 0.5, 1.0))}),
]
BAD = [
    (RECIPE, "epochs", "--set epochs: expected PATH=VALUE, such as pretrain.epochs=2"),
    (RECIPE, "=3", "--set =3: expected PATH=VALUE"),
    (RECIPE, "epoch=3", "no setting 'epoch'; did you mean epochs"),
    (RECIPE, "pretrain.epoch=2", "no setting 'pretrain.epoch'; did you mean pretrain.epochs"),
    (RECIPE, "rotation=3", "no setting 'rotation'; did you mean .*augmentation.rotation"),
    (RECIPE, "domain_wieght=3", "no setting 'domain_wieght'; did you mean domain_weight"),
    (RECIPE, "zzz=3", "no setting 'zzz'; choose from epochs, batch_size, "),
    (RECIPE, "epochs.real=3", "no setting 'epochs.real'"),
    (RECIPE, "__class__=3", "no setting '__class__'"),
    (RECIPE, "name=mine", "name of recipe tiny says where it comes from and cannot be set"),
    (RECIPE, "published=none", "published of recipe tiny says where it comes from"),
    (RECIPE, "epochs=3.5", "expected a whole number, found '3.5'"),
    (RECIPE, "epochs=", "expected a whole number, found ''"),
    (RECIPE, "epochs=none", "expected a whole number, found 'none'"),
    (RECIPE, "epochs=" + "9" * 5000, "expected a whole number, found '9{39}$"),
    (RECIPE, "epochs=٣", "expected a whole number"),
    (RECIPE, "steps_per_epoch=many", "expected a whole number, or none, found 'many'"),
    (RECIPE, "learning_rate=fast", "expected a number such as 0.001 or 1e-3, found 'fast'"),
    (RECIPE, "learning_rate=nan", "expected a number such as 0.001"),
    (RECIPE, "learning_rate=1e999", "expected a number such as 0.001"),
    (RECIPE, "cosine=yes", "expected one of true, false, found 'yes'"),
    (RECIPE, "alternation=daily", "expected one of iteration, epoch, found 'daily'"),
    (RECIPE, "milestones=a,b", "expected a whole number, found 'a,b'"),
    (RECIPE, "input_size=288", "expected 2 values with commas between them, or none, found '288'"),
    (RECIPE, "pretrain=3", "expected a setting of one of its parts, or none, found '3'"),
    (RECIPE, "augmentation=none", "expected a setting of one of its parts, found 'none'"),
    (SUPERVISED, "pretrain.epochs=2", "recipe tiny has no pretrain; choose a recipe that has one"),
    (RECIPE, "network.width=-1", "network card: width: expected"),
]


@pytest.mark.parametrize(
    ("recipe", "setting", "changes"), GOOD, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_setting_changes_what_it_names(recipe, setting, changes) -> None:
    changed = with_settings(recipe, [setting])
    assert replace(changed, source=recipe.source) == replace(recipe, **changes)
    path = setting.partition("=")[0].strip()
    assert changed.source.startswith(f"tests; changed: {path}=") == (changed != recipe)


@pytest.mark.parametrize(
    ("recipe", "setting", "message"), BAD, ids=lambda value: value[:20] if isinstance(value, str) else ""
)
def test_a_mistake_is_one_line_that_names_the_setting(recipe, setting, message) -> None:
    with pytest.raises(RecipeError, match=message) as error:
        with_settings(recipe, [setting])
    assert "\n" not in str(error.value)


def test_settings_add_up_and_none_twice() -> None:
    changed = with_settings(FIDIP, ["pretrain.epochs=2", "pretrain.batch_size=64", "epochs=3"])
    assert (changed.pretrain, changed.epochs) == (Pretrain(2, 64), 3)
    assert changed.source == "paper §5.2; changed: epochs=3, pretrain.batch_size=64, pretrain.epochs=2"
    assert changed == with_settings(
        FIDIP, ["epochs = 3", "pretrain.epochs=+2", "batch_size=85", "pretrain.batch_size=64"]
    )
    with pytest.raises(RecipeError, match="--set epochs=4: epochs is set twice; leave one of them out"):
        with_settings(FIDIP, ["epochs=3", "epochs=4"])


def test_another_number_is_no_published_row_another_seed_is() -> None:
    assert with_settings(FIDIP, ["epochs=3"]).published is None
    beside = with_settings(FIDIP, ["seed=3", "save_every=10", "not_finite=skip"])
    assert beside == replace(FIDIP, seed=3, save_every=10, not_finite="skip")
    assert with_settings(FIDIP, []) == FIDIP
    both = with_settings(FIDIP, ["seed=3", "epochs=3", "not_finite=skip"])
    assert both == replace(with_settings(FIDIP, ["epochs=3"]), seed=3, not_finite="skip")
    assert both.source == "paper §5.2; changed: epochs=3"


def leaves(part, prefix=""):
    for entry in fields(part):
        value = getattr(part, entry.name)
        yield prefix + entry.name, value
        if is_dataclass(value):
            yield from leaves(value, f"{prefix}{entry.name}.")


def text_of(value) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_every_number_of_a_recipe_can_be_written_back(recipe) -> None:
    """Each is set to the value that it has, which changes nothing."""
    numbers = {path: value for path, value in leaves(recipe) if path in NAMES and not is_dataclass(value)}
    assert len(numbers) >= 35
    changed = with_settings(recipe, [f"{path}={text_of(value)}" for path, value in numbers.items()])
    assert changed == recipe


@given(st.integers(-(10**17), 10**17), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_numbers_survive_being_text(whole, number, flag) -> None:
    changed = with_settings(RECIPE, [f"seed={whole}", f"learning_rate={number!r}", f"cosine={flag}"])
    assert (changed.seed, changed.learning_rate, changed.cosine) == (whole, number, flag)


@given(st.sampled_from(NAMES), st.text(max_size=12) | st.sampled_from(["none", "1", "0.5", "true", "a,b", "1x2"]))
def test_any_text_sets_a_value_of_the_right_kind_or_is_refused(path, text) -> None:
    refusal = None
    try:
        changed = with_settings(RECIPE, [f"{path}={text}"])
    except RecipeError as error:
        refusal = str(error)
    if refusal is not None:
        assert len(refusal.splitlines()) == 1
        return
    before, after = dict(leaves(RECIPE)), dict(leaves(changed))
    different = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} - {"source"}
    assert all(name == path or name.startswith(f"{path}.") or path.startswith(f"{name}.") for name in different)
    if isinstance(before[path], bool | int | float | tuple) and after[path] is not None:
        assert type(after[path]) is type(before[path]) or isinstance(before[path], int)
