"""Something that is not finite, at random steps and places of whole runs: they stop or skip, and nothing is spoilt."""

import random
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

import fidip.training.run as run_module
from fidip.annotations import Domain
from fidip.data.augment import Augmentation
from fidip.errors import DataWarning, TrainingError
from fidip.training.adaptation import METHODS
from fidip.training.finite import SKIPS_IN_A_ROW
from fidip.training.inputs import Inputs
from fidip.training.loop import blamed, take_steps
from fidip.training.run import train
from fidip.training.stages import Found, StepRecord, adapt
from fidip.training.unlabelled import read_unlabelled
from figures import RECIPE, SUPERVISED, figure_set
from learners import batch, bits, changed, learners, turns
from test_training_adaptation_runs import RECIPES as MENU

PLACES = ("image", "target", "gradient", "feature", "logits", "statistic", "classifier's gradient")
RECIPES = {
    "fidip": RECIPE,
    "by epoch": replace(RECIPE, alternation="epoch"),
    "fine-tune": replace(SUPERVISED, augmentation=Augmentation.none()),
    **{name: MENU[name] for name in ("fidip by share", "dann by share", "mmd", "regda", "mean-teacher by share")},
}
JUDGED = ("fidip", "by epoch", "fidip by share", "dann by share")


@dataclass
class Poison:
    """Puts NaN in one place of one step of a run, whoever runs it; ``row`` is of the batch."""

    stage: str
    epoch: int
    step: int  # of the epoch, passes counted
    place: str
    row: int = 1
    value: float = float("nan")
    armed: bool = False
    marked: torch.Tensor | None = None  # the picture that spoils what the network makes of it
    file: str = ""
    leave_out: bool = False  # instead: learn nothing at this step

    def turns(self, stage, recipe, card, device, start):
        seen = start[1]
        epoch = start[0]
        for turn in self.original(stage, recipe, card, device, start):
            if turn.epoch != epoch:
                epoch, seen = turn.epoch, 0
            self.armed = (turn.stage, turn.epoch, seen) == (self.stage, self.epoch, self.step)
            seen += 1
            if self.armed:
                self.marked, self.file = turn.batch.images[self.row].clone(), turn.batch.files[self.row]
                turn = self.spoilt(turn)
            yield turn

    def spoilt(self, turn):
        field = {"image": "images", "target": "heatmaps"}.get(self.place)
        if field is None or self.leave_out:
            return turn
        tensor = getattr(turn.batch, field).clone()
        tensor[self.row, 0, 3, 2] = self.value
        return replace(turn, batch=replace(turn.batch, **{field: tensor}))

    def start_learners(self, *arguments):
        ours = self.starter(*arguments)
        net, judge = ours.pose_net, ours.classifier
        if self.leave_out:
            return ours
        if self.place == "feature":
            net.register_forward_pre_hook(self.look)
            net.backbone.register_forward_hook(self.features)
        if self.place == "statistic":
            net.register_forward_hook(self.statistic)
        if self.place == "logits":
            judge.register_forward_hook(lambda _m, _i, out: out + self.value if self.armed else out)
        parameter = {"gradient": net.head.final_layer.weight}.get(self.place)
        if self.place == "classifier's gradient":
            parameter = list(judge.parameters())[-1]
        if parameter is not None:
            parameter.register_hook(lambda gradient: gradient * self.value if self.armed else gradient)
        return ours

    def look(self, _module, inputs):
        same = [torch.equal(image, self.marked) for image in inputs[0]] if self.armed else []
        self.rows = torch.tensor(same, dtype=torch.bool)

    def features(self, _module, _inputs, features):
        if self.armed and self.rows.any():
            features = features.clone()
            features[self.rows, 0, 0, 0] = self.value
        return features

    def statistic(self, net, _inputs, _out):
        if self.armed and net.training:
            next(b for n, b in net.named_buffers() if n.endswith("running_var")).view(-1)[0] = float("inf")

    def install(self, monkeypatch) -> None:
        self.original, self.starter, looped = run_module.turns, run_module.start_learners, run_module.take_steps

        def leaving_out(learn, ours, feed, not_finite):
            if self.leave_out:
                return looped(lambda us, turn: Found() if self.armed else learn(us, turn), ours, feed, not_finite)
            return looped(learn, ours, feed, not_finite)

        monkeypatch.setattr(run_module, "turns", self.turns)
        monkeypatch.setattr(run_module, "start_learners", self.start_learners)
        monkeypatch.setattr(run_module, "take_steps", leaving_out)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Inputs:
    folder = tmp_path_factory.mktemp("figures")
    figure_set(folder / "film", 4, Domain.REAL, 5)
    real, synthetic = figure_set(folder / "r", 4, Domain.REAL), figure_set(folder / "s", 8, Domain.SYNTHETIC)
    adults = figure_set(folder / "ar", 4, Domain.REAL, 2), figure_set(folder / "as", 4, Domain.SYNTHETIC, 2)
    return Inputs(real, synthetic, adults=adults, unlabelled=read_unlabelled(folder / "film" / "images"))


def needed(recipe, inputs) -> Inputs:
    taught = recipe.method == "mean-teacher"
    return replace(
        inputs, adults=inputs.adults if recipe.pretrain else None, unlabelled=inputs.unlabelled if taught else None
    )


def cases() -> list[tuple[str, Poison]]:
    """Twenty random (step, place): every method, every place."""
    rng, made = random.Random(5), []
    for number in range(20):
        name = list(RECIPES)[number % len(RECIPES)]
        places = [p for p in PLACES if name in JUDGED or p not in ("logits", "classifier's gradient")]
        place = places[(number + number // len(RECIPES)) % len(places)]
        steps = {"by epoch": 6, "mean-teacher by share": 4}.get(name, 3)
        step = rng.randrange(steps // 2, steps) if name == "by epoch" else rng.randrange(steps)
        if name == "by epoch" and place in ("logits", "classifier's gradient"):
            step = rng.randrange(3)  # where the classifier learns
        value = rng.choice([float("nan"), float("inf")])
        made.append((name, Poison("adapt", rng.randrange(2), step, place, rng.randrange(4), value)))
    made[0] = ("fidip", Poison("pretrain", 0, 1, "image", 2))
    return made


CASES = cases()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    kept = safetensors.torch.load_file(folder / "best.safetensors")
    return kept | dict(safetensors.torch.load_file(folder / "checkpoint"))


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_every_place_and_method_is_among_the_cases() -> None:
    assert {poison.place for _, poison in CASES} == set(PLACES)
    assert {name for name, _ in CASES} == set(RECIPES)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_step_that_is_not_finite_is_as_if_it_had_not_been(inputs, tmp_path, monkeypatch, number) -> None:
    name, poison = CASES[number]
    recipe = replace(RECIPES[name], not_finite="skip", save_every=1)
    data = needed(recipe, inputs)
    shown = poison.place in ("image", "target", "feature")  # one sample alone is to blame
    with monkeypatch.context() as patched:
        poison.install(patched)
        with pytest.warns(DataWarning) as told:
            skipped = train(recipe, data, tmp_path / "skipped")
    with monkeypatch.context() as patched:
        replace(poison, leave_out=True).install(patched)
        train(recipe, data, tmp_path / "without")
    assert same(weights(tmp_path / "skipped"), weights(tmp_path / "without"))
    assert all(bool(torch.isfinite(t).all()) for t in weights(tmp_path / "skipped").values() if t.is_floating_point())
    (message,) = {str(warning.message) for warning in told}
    place = f"in stage {poison.stage}, epoch {poison.epoch + 1}, step "
    assert place in message
    assert f", on {poison.file}: the step is skipped" in message if shown else "somewhere in the batch of" in message
    counts = {(line["stage"], line["epoch"]): line["skipped"] for line in skipped.history}
    assert counts.pop((poison.stage, poison.epoch + 1)) == 1
    assert set(counts.values()) == {0}

    with monkeypatch.context() as patched:  # the same with the other policy, and then going on with this one
        poison.install(patched)
        out = tmp_path / "stopped"
        with pytest.raises(TrainingError) as error:
            train(replace(recipe, not_finite="stop"), data, out)
        assert "\n" not in str(error.value)
        assert place in str(error.value)
        assert (f", on {poison.file}; " if shown else "; ") in str(error.value)
        if (out / "checkpoint").exists():
            kept = safetensors.torch.load_file(out / "checkpoint")
            assert all(bool(torch.isfinite(t).all()) for t in kept.values() if t.is_floating_point())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            train(recipe, data, out, resume=True)
    assert same(weights(out), weights(tmp_path / "skipped"))
    assert (out / "history.jsonl").read_bytes() == (tmp_path / "skipped" / "history.jsonl").read_bytes()


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("after", [2, 3, 4])
def test_a_run_that_skips_may_be_interrupted_around_it(inputs, tmp_path, monkeypatch, after) -> None:
    recipe = replace(RECIPES["fidip by share"], not_finite="skip", save_every=2)
    data, poison, taken = needed(recipe, inputs), Poison("adapt", 0, 2, "logits"), []
    poison.install(monkeypatch)

    def stop(event):
        if isinstance(event, StepRecord):
            taken.append(event)
            if len(taken) == after:
                raise StoppedError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        train(recipe, data, tmp_path / "whole")
        with pytest.raises(StoppedError):
            train(recipe, data, tmp_path / "run", watch=stop)
        train(recipe, data, tmp_path / "run", resume=True)
    for file in ("best.safetensors", "history.jsonl"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


def test_too_many_skipped_steps_in_a_row_end_the_run(inputs, tmp_path) -> None:
    """The learning rate breaks the network at its first step; no later one can be used."""
    recipe = replace(
        SUPERVISED, learning_rate=1e30, not_finite="skip", save_every=1, epochs=2, steps_per_epoch=SKIPS_IN_A_ROW
    )
    problem = (
        f"{SKIPS_IN_A_ROW} steps in a row were skipped up to stage adapt, epoch 2, step 1, where the .* not finite; "
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        for resume in (False, True):
            with pytest.raises(TrainingError, match=problem):
                train(recipe, Inputs(real=inputs.real), tmp_path / "run", resume=resume)
    kept = safetensors.torch.load_file(tmp_path / "run" / "checkpoint")
    assert all(bool(torch.isfinite(t).all()) for t in kept.values() if t.is_floating_point())


@pytest.mark.parametrize("spoilt", ["weights", "moments"])
def test_what_overflows_in_a_step_is_neither_kept_nor_saved(inputs, tmp_path, monkeypatch, spoilt) -> None:
    """The gradient was finite, what the optimiser made of it is not."""
    learning, starter = [], run_module.start_learners
    monkeypatch.setattr(run_module, "start_learners", lambda *a: learning.append(starter(*a)) or learning[0])
    taken = []

    def spoil(event):
        taken.append(event)
        if isinstance(event, StepRecord) and (event.epoch, event.step) == (1, 0):
            parameter = learning[0].pose_net.head.final_layer.weight
            tensor = parameter.data if spoilt == "weights" else learning[0].pose_optimizer.state[parameter]["exp_avg"]
            tensor.view(-1)[0] = float("inf")

    recipe, out = replace(SUPERVISED, steps_per_epoch=1), tmp_path / "run"
    with pytest.raises(TrainingError, match=r"checkpoint: not written, since .* is not finite") as error:
        train(recipe, Inputs(real=inputs.real, validation=inputs.adults[0]), out, watch=spoil)
    assert "\n" not in str(error.value)
    assert all(bool(torch.isfinite(t).all()) for t in weights(out).values() if t.is_floating_point())


@pytest.mark.parametrize("method", ["fidip", "dann", "fine-tune"])
def test_the_first_step_may_be_skipped(method) -> None:
    """When Adam has no moments yet."""
    ours = learners(classifier=method != "fine-tune")
    (bad,) = turns(1)
    bad = replace(bad, batch=replace(bad.batch, heatmaps=bad.batch.heatmaps * float("inf")))
    pose, judge = bits(ours.pose_net), ours.classifier and bits(ours.classifier)
    with pytest.warns(DataWarning, match="pose loss is"):
        (record,) = take_steps(METHODS[method], ours, [bad], "skip")
    assert record.skipped == "the pose loss is nan"
    assert (record.pose_loss, record.domain_loss) == (None, None)
    assert changed(ours.pose_net, pose) == set()
    assert judge is None or changed(ours.classifier, judge) == set()
    assert len(ours.pose_optimizer.state) == 0
    assert ours.domain_optimizer is None or len(ours.domain_optimizer.state) == 0


def test_a_sample_is_found_by_its_gradient_alone() -> None:
    """Loss and heatmaps are finite; the gradient of one sample is not."""
    ours = learners(classifier=False)
    (turn,) = turns(1)
    mark = turn.batch.images[2, 0, 0, 0]

    class Spoil(torch.autograd.Function):
        @staticmethod
        def forward(ctx, features, rows):
            ctx.rows = rows
            return features.clone()

        @staticmethod
        def backward(ctx, gradient):
            return torch.where(ctx.rows[:, None, None, None], torch.inf, gradient), None

    state = {}
    ours.pose_net.register_forward_pre_hook(lambda _m, inputs: state.update(rows=inputs[0][:, 0, 0, 0] == mark))
    ours.pose_net.backbone.register_forward_hook(lambda _m, _i, features: Spoil.apply(features, state["rows"]))
    assert blamed(ours, turn) == ("2.png",)
    with pytest.raises(TrainingError, match=r"the norm of the gradient is nan in stage adapt, .* on 2\.png;"):
        list(take_steps(adapt, ours, [turn]))


def test_many_files_are_counted_not_listed() -> None:
    many = batch(size=30)
    bad = replace(turns(1)[0], batch=replace(many, images=many.images * float("nan")))
    with pytest.raises(TrainingError, match=r"on 0\.png, .*7\.png and 22 more;"):
        list(take_steps(adapt, learners(), [bad]))


def test_time_is_that_of_learning_and_of_making_the_batch(monkeypatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("fidip.training.loop.perf_counter", lambda: next(clock))
    records = list(take_steps(lambda _l, _t: Found(), learners(), turns(2)))
    assert [record.seconds for record in records] == [1, 1]
