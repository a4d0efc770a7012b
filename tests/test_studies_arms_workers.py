"""How many processes train side by side changes no number and no weight."""

from dataclasses import replace

import numpy as np

from fidip.annotations import Domain
from fidip.networks.pose import build_pose_net
from fidip.networks.weights import save_pose_net
from fidip.studies.arms import Arm, run_arms
from figures import SUPERVISED, TINY, figure_set

FILES = ("run/best.safetensors", "run/best.json", "run/history.jsonl")


def test_one_and_two_workers_leave_the_same_bytes(tmp_path) -> None:
    real, synthetic = (figure_set(tmp_path / d.name, 6, d).file for d in Domain)
    test = figure_set(tmp_path / "test", 4, Domain.REAL, seed=1).file
    held_out = figure_set(tmp_path / "held-out", 4, Domain.SYNTHETIC, seed=1).file
    save_pose_net(build_pose_net(TINY), tmp_path / "tiny.safetensors")
    start = str(tmp_path / "tiny.safetensors")
    arms = (
        Arm("both", "both", SUPERVISED, real=real, synthetic=synthetic, init=start),
        Arm("drawn", "drawn", replace(SUPERVISED, seed=4), synthetic=synthetic, init=start),
    )
    told: dict[int, list[tuple[str, int, float | None]]] = {1: [], 2: []}
    left = {}
    for workers, steps in told.items():

        def note(name, record, steps=steps):
            steps.append((name, record.epoch, record.step, record.pose_loss))

        left[workers] = run_arms(arms, test, held_out, tmp_path / str(workers), workers, note)
    assert sorted(told[1]) == sorted(told[2])
    assert len(told[1]) == 2 * (3 + 2)
    for arm in arms:
        one, two = (left[workers][arm.name] for workers in (1, 2))
        assert one.results.read_bytes() == two.results.read_bytes()
        with np.load(one.features) as first, np.load(two.features) as second:
            assert first.files == second.files
            assert all(np.array_equal(first[name], second[name]) for name in first.files)
        for file in FILES:
            one, two = (tmp_path / str(workers) / arm.name / file for workers in (1, 2))
            assert one.read_bytes() == two.read_bytes(), file
