"""The probe and the map on features whose answer is known."""

import numpy as np
import pytest

from fidip.evaluation.embedding import domain_probe, tsne


@pytest.mark.parametrize(("distance", "low", "high"), [(0.0, 0.35, 0.65), (2.0, 0.78, 0.9), (20.0, 1.0, 1.0)])
def test_probe_measures_how_far_the_domains_are_apart(distance, low, high):
    generator = np.random.default_rng(0)
    synthetic = np.arange(200) < 100
    features = generator.normal(size=(200, 3))
    features[synthetic, 0] += distance
    # Two unit Gaussians at distance d are told apart with the probability Φ(d/2) at best: 0.5, 0.84 and 1.
    assert low <= domain_probe(features, synthetic, seed=0) <= high


def test_probe_is_balanced_when_one_domain_is_rare():
    generator = np.random.default_rng(1)
    assert domain_probe(generator.normal(size=(220, 3)), np.arange(220) < 20, seed=0) < 0.7


def test_map_keeps_clusters_apart_and_is_the_same_each_time():
    generator = np.random.default_rng(0)
    group = np.arange(60) % 2
    features = generator.normal(size=(60, 5)) + 12 * group[:, None]
    mapped = tsne(features, seed=3)
    assert mapped.shape == (60, 2)
    distances = np.linalg.norm(mapped[:, None] - mapped[None], axis=2) + np.eye(60) * 1e9
    assert (group[distances.argmin(axis=1)] == group).all()
    assert np.array_equal(mapped, tsne(features, seed=3))
