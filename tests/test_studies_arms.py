"""Networks trained side by side: what happens when one of them fails."""

from dataclasses import replace

import pytest

from fidip.annotations import Domain
from fidip.errors import FidipError, WeightsError
from fidip.networks.pose import build_pose_net
from fidip.networks.weights import save_pose_net
from fidip.studies import processes
from fidip.studies.arms import Arm, run_arms
from figures import SUPERVISED, TINY, figure_set


@pytest.fixture
def truth(tmp_path):
    return figure_set(tmp_path / "data", 4, Domain.REAL, seed=1).file


def test_one_that_fails_stops_the_others(truth, tmp_path):
    """The second would train for days; that this test ends is what it shows."""
    save_pose_net(build_pose_net(TINY), tmp_path / "tiny.safetensors")
    endless = replace(SUPERVISED, epochs=10**6, steps_per_epoch=10**4)
    arms = (
        Arm("broken", "broken", endless, real=truth, init="no-such-network"),
        Arm("endless", "endless", endless, real=truth, init=str(tmp_path / "tiny.safetensors")),
    )
    with pytest.raises(WeightsError, match="no-such-network"):
        run_arms(arms, truth, truth, tmp_path / "out", 2, lambda *_: None)


def test_a_process_ended_from_outside_is_no_defect_of_ours(truth, tmp_path, monkeypatch):
    def killed(*_):
        raise processes.BrokenProcessPool("terminated abruptly")

    monkeypatch.setattr(processes, "_steps", killed)
    with pytest.raises(FidipError, match=r"ended from outside.* run the same command again"):
        run_arms((), truth, truth, tmp_path / "out", 1, lambda *_: None)
