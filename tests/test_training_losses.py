"""Losses against their formulas, written out sum by sum."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from fidip.training.losses import domain_accuracy, domain_loss, heatmap_loss


def test_heatmap_loss_is_the_published_sum() -> None:
    generator = torch.Generator().manual_seed(0)
    B, K, h, w = 3, 5, 4, 2
    predicted, target = (torch.rand(B, K, h, w, generator=generator, dtype=torch.float64) for _ in range(2))
    weights = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.float64)
    expected = 0.0
    for k in range(K):
        of_keypoint = 0.0
        for b in range(B):
            for y in range(h):
                for x in range(w):
                    error = float(weights[b, k]) * float(predicted[b, k, y, x]) - float(
                        weights[b, k] * target[b, k, y, x]
                    )
                    of_keypoint += error**2
        expected += 0.5 * of_keypoint / (B * h * w) / K
    assert math.isclose(float(heatmap_loss(predicted, target, weights)), expected, rel_tol=1e-12)


def test_unlabelled_keypoints_count_in_the_mean() -> None:
    predicted, target = torch.ones(1, 4, 3, 3), torch.zeros(1, 4, 3, 3)
    weights = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    assert float(heatmap_loss(predicted, target, weights)) == 0.5 / 4
    assert float(heatmap_loss(predicted, target, torch.zeros(1, 4))) == 0


@given(st.lists(st.tuples(st.floats(-8, 8), st.booleans()), min_size=1, max_size=6))
def test_domain_loss_is_binary_cross_entropy(pairs) -> None:
    logits = torch.tensor([z for z, _ in pairs], dtype=torch.float64)
    synthetic = torch.tensor([float(y) for _, y in pairs], dtype=torch.float64)
    probability = [1 / (1 + math.exp(-z)) for z, _ in pairs]
    terms = [math.log(p) if y else math.log(1 - p) for p, (_, y) in zip(probability, pairs, strict=True)]
    assert math.isclose(float(domain_loss(logits, synthetic)), -sum(terms) / len(terms), rel_tol=1e-9, abs_tol=1e-12)


def test_a_classifier_that_cannot_tell_loses_ln_2() -> None:
    assert math.isclose(float(domain_loss(torch.zeros(4), torch.tensor([0.0, 1, 1, 0]))), math.log(2), rel_tol=1e-6)


def test_domain_accuracy_counts_the_right_side() -> None:
    assert float(domain_accuracy(torch.tensor([2.0, -1.0, 3.0, -4.0]), torch.tensor([1.0, 1.0, 0.0, 0.0]))) == 0.5
