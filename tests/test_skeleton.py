import numpy as np
import pytest
from pycocotools.cocoeval import Params

from fidip.skeleton import COCO_17, SKELETONS, Skeleton


def test_coco_names_and_order():
    # The order of the category "person" in COCO's keypoint annotations.
    coco = (
        "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow "
        "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
    )
    assert COCO_17.keypoints == tuple(coco.split())
    assert len(COCO_17) == 17
    assert SKELETONS["coco-17"] is COCO_17


def test_sigmas_are_those_of_the_coco_evaluator():
    assert COCO_17.oks_sigmas == pytest.approx(Params(iouType="keypoints").kpt_oks_sigmas, abs=1e-12)


def test_limbs_are_those_of_coco():
    # "skeleton" of the category "person", which counts from 1.
    coco = "16,14 14,12 17,15 15,13 12,13 6,12 7,13 6,7 6,8 7,9 8,10 9,11 2,3 1,2 1,3 2,4 3,5 4,6 5,7"
    assert COCO_17.limbs == tuple((int(a) - 1, int(b) - 1) for a, b in (pair.split(",") for pair in coco.split()))


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_every_skeleton_is_whole(skeleton):
    count = len(skeleton)
    assert len(set(skeleton.keypoints)) == len(skeleton.oks_sigmas) == count
    assert all(0 <= k < count for pair in skeleton.flip_pairs + skeleton.limbs for k in pair)
    assert np.array_equal(skeleton.flip_permutation[skeleton.flip_permutation], np.arange(count))
    assert sum(skeleton.flip_permutation != np.arange(count)) == 2 * len(skeleton.flip_pairs)
    assert all(sigma > 0 for sigma in skeleton.oks_sigmas)


def test_a_flip_exchanges_left_and_right_names():
    mirrored = {"left": "right", "right": "left"}
    for name, other in zip(COCO_17.keypoints, COCO_17.flip_permutation, strict=True):
        side, _, part = name.partition("_")
        assert COCO_17.keypoints[other] == (f"{mirrored[side]}_{part}" if part else name)


def test_limbs_and_sigmas_are_symmetric():
    flip = COCO_17.flip_permutation
    limbs = {frozenset(limb) for limb in COCO_17.limbs}
    assert {frozenset(int(flip[k]) for k in limb) for limb in limbs} == limbs
    sigmas = np.array(COCO_17.oks_sigmas)
    assert np.array_equal(sigmas[flip], sigmas)


def test_a_skeleton_of_ones_own():
    snake = Skeleton("snake", ("head", "middle", "tail"), (), ((0, 1), (1, 2)), (0.1, 0.1, 0.1))
    assert len(snake) == 3
    assert snake.flip_permutation.tolist() == [0, 1, 2]
