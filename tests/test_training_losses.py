"""Losses against their formulas, written out sum by sum."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from fidip.training.losses import (
    discrepancy,
    domain_accuracy,
    domain_loss,
    ground_truth_and_false,
    heatmap_divergence,
    heatmap_loss,
)


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


def test_the_discrepancy_is_the_double_sum_of_its_kernels() -> None:
    generator = torch.Generator().manual_seed(1)
    real, synthetic = (torch.randn(n, 5, generator=generator, dtype=torch.float64) + n / 3 for n in (3, 5))
    points = [*real.tolist(), *synthetic.tolist()]

    def square(a: list[float], b: list[float]) -> float:
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))

    pairs = sorted(square(points[i], points[j]) for i in range(8) for j in range(i))
    middle = pairs[(len(pairs) - 1) // 2]  # torch's median of an even number is the lower one

    def mean(some: list[list[float]], others: list[list[float]]) -> float:
        total = 0.0
        for a in some:
            for b in others:
                total += sum(math.exp(-square(a, b) / (u * middle)) for u in (0.25, 0.5, 1, 2, 4)) / 5
        return total / (len(some) * len(others))

    r, s = points[:3], points[3:]
    expected = mean(r, r) + mean(s, s) - 2 * mean(r, s)
    assert math.isclose(float(discrepancy(real, synthetic)), expected, rel_tol=1e-12)
    assert expected > 0.05


def test_the_discrepancy_of_a_sample_with_itself_is_nothing_and_has_a_finite_gradient() -> None:
    sample = torch.randn(4, 3, dtype=torch.float64).requires_grad_()
    loss = discrepancy(sample, sample)
    assert abs(float(loss.detach())) < 1e-12
    (gradient,) = torch.autograd.grad(discrepancy(sample[:2] * 0, sample[2:] * 0), sample)
    assert torch.isfinite(gradient).all()


def test_the_discrepancy_without_one_side_is_nothing() -> None:
    sample = torch.randn(4, 3).requires_grad_()
    for loss in (discrepancy(sample, sample[:0]), discrepancy(sample[:0], sample)):
        assert float(loss.detach()) == 0
        assert not torch.autograd.grad(loss, sample)[0].any()


def test_following_the_discrepancy_brings_samples_together() -> None:
    generator = torch.Generator().manual_seed(2)
    real = torch.randn(32, 2, generator=generator)
    synthetic = (torch.randn(32, 2, generator=generator) + 3).requires_grad_()
    before = float(discrepancy(real, synthetic).detach())
    for _ in range(100):
        (gradient,) = torch.autograd.grad(discrepancy(real, synthetic), synthetic)
        synthetic = (synthetic - 20 * gradient).detach().requires_grad_()
    assert float(discrepancy(real, synthetic).detach()) < 0.2 * before


def test_ground_false_is_where_the_other_keypoints_are() -> None:
    maps = torch.zeros(1, 3, 12, 16)
    places = [(3, 4), (10, 8), (10, 8)]
    for k, (x, y) in enumerate(places):
        maps[0, k, y, x] = 1.0
    truth, false = ground_truth_and_false(maps, 1.5)
    for k in range(3):
        for y in range(12):
            for x in range(16):
                peaks = [math.exp(-((x - a) ** 2 + (y - b) ** 2) / 4.5) for a, b in places]
                assert math.isclose(float(truth[0, k, y, x]), peaks[k], rel_tol=1e-4, abs_tol=1e-6)
                others = min(1.0, sum(peaks) - peaks[k])
                assert math.isclose(float(false[0, k, y, x]), others, rel_tol=1e-4, abs_tol=1e-6)


def test_the_divergence_of_heatmaps_is_the_mean_of_kullback_and_leiblers() -> None:
    generator = torch.Generator().manual_seed(3)
    predicted, target = (torch.rand(2, 3, 2, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    total = 0.0
    for b in range(2):
        for k in range(3):
            scores, aims = predicted[b, k].flatten().tolist(), target[b, k].flatten().tolist()
            mass, whole = sum(math.exp(s) for s in scores), sum(a + 1e-7 for a in aims)
            for score, aim in zip(scores, aims, strict=True):
                q = (aim + 1e-7) / whole
                total += q * math.log(q / (math.exp(score) / mass))
    assert math.isclose(float(heatmap_divergence(predicted, target)), total / 6, rel_tol=1e-9)
    assert float(heatmap_divergence(predicted[:0], target[:0])) == 0
