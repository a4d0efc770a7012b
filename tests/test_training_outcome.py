"""What a run leaves beside what learnt: statistics of the real images against those of all of them pooled."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fidip.annotations import Domain
from fidip.data.augment import Augmentation, make_batch
from fidip.data.samples import load_samples
from fidip.errors import DataError, RecipeError
from fidip.networks.card import NetworkCard
from fidip.networks.pose import build_pose_net
from fidip.training.outcome import restated
from fidip.training.schedule import target_format
from figures import TINY, figure_set

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def infants(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    parts = []
    for domain, count in ((Domain.REAL, 9), (Domain.SYNTHETIC, 3)):
        labelled = figure_set(folder / domain.name, count, domain)
        parts.append(load_samples(labelled.images, labelled.paths, domain, (TINY.input_size, TINY.affine)))
    return parts[0] + parts[1]


def plain_images(infants, indices):
    return make_batch(infants, indices, target_format(TINY), Augmentation.none(), np.random.default_rng(0)).images


def test_statistics_become_those_of_the_real_images_together(infants) -> None:
    """Of one batch every layer sees what it saw in training mode with a momentum of 1: torch's own statistics."""
    net = build_pose_net(TINY, torch.Generator().manual_seed(0))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    ours = restated(net, infants, CPU)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())  # a copy was made
    reference = build_pose_net(TINY, torch.Generator().manual_seed(0)).train()
    for module in reference.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    reference(plain_images(infants, np.arange(9)))
    for name, tensor in reference.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.allclose(ours.state_dict()[name], tensor, rtol=1e-4, atol=1e-6), name
    assert not ours.training


def test_several_batches_are_pooled_exactly(infants, monkeypatch) -> None:
    monkeypatch.setattr("fidip.training.outcome.RESTATED_BATCH", 4)  # 9 people: three batches of 3
    net = build_pose_net(TINY, torch.Generator().manual_seed(0)).eval()
    ours = restated(net, infants, CPU)
    images = plain_images(infants, np.arange(9))
    flowing = []
    first = net.backbone.get_submodule("bn1")
    first.register_forward_pre_hook(lambda _, inputs: flowing.append(inputs[0]))
    net(images)
    (x,) = flowing
    values = x.transpose(0, 1).flatten(1).double()
    norm = ours.backbone.get_submodule("bn1")
    assert torch.allclose(norm.running_mean.double(), values.mean(dim=1), atol=1e-6)
    assert torch.allclose(norm.running_var.double(), values.var(dim=1), rtol=1e-5, atol=1e-8)


def test_a_network_without_batch_normalisation_or_real_people_is_refused(infants) -> None:
    vit = build_pose_net(NetworkCard("vit-12", 24, (32, 32), head="interpolation"))
    with pytest.raises(RecipeError, match=r"adabn: a vit-12 .* no batch normalisation"):
        restated(vit, infants, CPU)
    synthetic = replace(infants, samples=tuple(s for s in infants.samples if s.domain == Domain.SYNTHETIC))
    with pytest.raises(DataError, match="adabn needs at least 2 real people; 0 are usable"):
        restated(build_pose_net(TINY), synthetic, CPU)
