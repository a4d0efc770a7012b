"""Colours that are borrowed: moments against NumPy, the map against SciPy, and what stays as it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from fidip.annotations import Domain
from fidip.data.augment import Augmentation, TargetFormat, draw, make_batch
from fidip.data.colours import borrow_colours
from fidip.data.samples import load_samples
from figures import figure_set

FORMAT = TargetFormat((32, 32), (8, 8), 1.0)


def pictures(seed, count=3, low=0.3, high=0.6):
    """Colours that hang together, away from 0 and 1, so that nothing is clipped."""
    rng = np.random.default_rng(seed)
    mixed = rng.random((count, 3, 3)) @ rng.random((count, 3, 400))
    mixed -= mixed.min(axis=(1, 2), keepdims=True)
    return torch.from_numpy(low + (high - low) * mixed / mixed.max(axis=(1, 2), keepdims=True)).view(count, 3, 20, 20)


def moments(picture):
    flat = picture.reshape(3, -1).double().numpy()
    return flat.mean(axis=1), np.cov(flat, bias=True)


def test_mean_and_covariance_become_the_donors():
    own, donors = pictures(0), pictures(1, low=0.4, high=0.5)
    for changed, donor in zip(borrow_colours(own, donors), donors, strict=True):
        for found, expected in zip(moments(changed), moments(donor), strict=True):
            np.testing.assert_allclose(found, expected, atol=3e-5)


def test_the_map_is_that_of_monge_and_kantorovitch():
    own, donor = pictures(2, 1), pictures(3, 1, low=0.4, high=0.5)
    (mean, covariance), (other_mean, other) = moments(own[0]), moments(donor[0])
    root = sqrtm(covariance + 1e-5 * np.eye(3)).real
    inverse = np.linalg.inv(root)
    matrix = inverse @ sqrtm(root @ other @ root).real @ inverse
    expected = matrix @ (own[0].reshape(3, -1).numpy() - mean[:, None]) + other_mean[:, None]
    np.testing.assert_allclose(borrow_colours(own, donor)[0].reshape(3, -1).numpy(), expected, atol=1e-6)


def test_a_grey_donor_makes_grey():
    grey = pictures(4, 2)[:, :1].expand(-1, 3, -1, -1)
    changed = borrow_colours(pictures(5, 2), grey)
    assert float((changed.amax(dim=1) - changed.amin(dim=1)).max()) < 0.02


def test_its_own_colours_change_nothing():
    own = pictures(6)
    torch.testing.assert_close(borrow_colours(own, own), own, atol=2e-3, rtol=0)


def test_what_lies_beyond_a_picture_stays_black_and_does_not_count():
    own, donor = pictures(7, 1), pictures(8, 1)
    bordered = own.clone()
    bordered[:, :, :5] = 0
    changed = borrow_colours(bordered, donor)
    assert not changed[:, :, :5].any()
    torch.testing.assert_close(changed[:, :, 5:], borrow_colours(own[:, :, 5:], donor))


def test_a_picture_of_one_colour_has_the_donors_mean():
    changed = borrow_colours(torch.full((1, 3, 20, 20), 0.5), pictures(9, 1).float())
    assert changed.isfinite().all()
    np.testing.assert_allclose(moments(changed[0])[0], moments(pictures(9, 1)[0])[0], atol=1e-5)


@pytest.fixture(scope="module")
def resident(tmp_path_factory):
    out = tmp_path_factory.mktemp("colours")
    parts = []
    for domain in Domain:
        one = figure_set(out / domain.name, 6, domain, seed=int(domain))
        parts.append(load_samples(one.images, one.paths, domain, (FORMAT.input_size, "dark"), Augmentation().reach))
    return parts[0] + parts[1]


def batch(resident, share):
    augmentation = replace(Augmentation(), brightness=0.2, occlusion_probability=0.5, borrowed_colours=share)
    return make_batch(resident, np.arange(12), FORMAT, augmentation, np.random.default_rng(5))


def test_everything_else_about_a_batch_is_the_same(resident):
    plain, borrowed = batch(resident, 0.0), batch(resident, 1.0)
    synthetic = plain.synthetic > 0.5
    assert torch.equal(plain.images[~synthetic], borrowed.images[~synthetic])
    assert all((a != b).any() for a, b in zip(plain.images[synthetic], borrowed.images[synthetic], strict=True))
    for name in ("heatmaps", "weights", "synthetic"):
        assert torch.equal(getattr(plain, name), getattr(borrowed, name))
    np.testing.assert_array_equal(plain.drawn.affines, borrowed.drawn.affines)
    np.testing.assert_array_equal(plain.drawn.colours, borrowed.drawn.colours)


def test_about_the_share_that_was_asked_for(resident):
    counts = [0 if (donors := draw_donors(resident, seed)) is None else len(donors[0]) for seed in range(300)]
    assert np.mean(counts) == pytest.approx(3, abs=4 * (6 * 0.25 / 300) ** 0.5)  # half of 6, 4 standard errors


def draw_donors(resident, seed):
    drawn = draw(resident.samples, FORMAT, Augmentation(borrowed_colours=0.5), np.random.default_rng(seed))
    if drawn.donors is not None:
        takers, donors = drawn.donors
        assert all(resident.samples[i].domain is Domain.SYNTHETIC for i in takers)
        assert all(resident.samples[i].domain is Domain.REAL for i in donors)
    return drawn.donors


def test_without_real_people_nobody_borrows(resident):
    one = make_batch(resident, np.arange(6, 12), FORMAT, Augmentation(borrowed_colours=1.0), np.random.default_rng(0))
    assert one.drawn.donors is None
