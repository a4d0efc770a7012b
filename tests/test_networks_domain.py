from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fidip.errors import RecipeError, TrainingError
from fidip.networks.domain import (
    DomainClassifier,
    FlatDomainClassifier,
    batch_statistics_unrecorded,
    build_domain_classifier,
    reverse_gradient,
)
from network_states import changed, randomised, snapshot

KINDS = ["pooled", "flat"]


@pytest.mark.parametrize("weight", [0.0, 5e-4, 0.3])
def test_reversal_equals_subtraction_for_the_extractor_and_leaves_the_classifier_its_own_gradient(
    weight: float,
) -> None:
    torch.manual_seed(0)
    extractor = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh()).double()
    head, classifier = nn.Conv2d(8, 2, 1).double(), randomised(DomainClassifier(8, (16, 8))).double()
    images, target = torch.rand(6, 3, 8, 8, dtype=torch.double), torch.rand(6, 2, 6, 6, dtype=torch.double)
    synthetic = torch.tensor([0, 1, 0, 1, 1, 0], dtype=torch.double)
    features = extractor(images)
    pose = F.mse_loss(head(features), target)
    domain = F.binary_cross_entropy_with_logits(classifier(features), synthetic)
    reversed_domain = F.binary_cross_entropy_with_logits(classifier(reverse_gradient(features, weight)), synthetic)
    ours, theirs = list(extractor.parameters()), list(classifier.parameters())

    subtracted = torch.autograd.grad(pose - weight * domain, ours, retain_graph=True)
    reversed_ = torch.autograd.grad(pose + reversed_domain, [*ours, *theirs], retain_graph=True)
    of_classifier = torch.autograd.grad(domain, theirs)

    for expected, found in zip((*subtracted, *of_classifier), reversed_, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)
    assert torch.equal(reverse_gradient(features, weight), features)


def test_the_classifier_of_the_paper_has_454_million_parameters() -> None:
    with torch.device("meta"):
        paper = build_domain_classifier("flat", 2048, (9, 12))
        pooled = build_domain_classifier("pooled", 2048, (9, 12))
        assert paper(torch.empty(4, 2048, 12, 9)).shape == (4,)
    assert sum(parameter.numel() for parameter in paper.parameters()) == 454_041_601
    assert sum(parameter.numel() for parameter in pooled.parameters()) < 1_000_000


def test_the_classifier_of_the_paper_is_three_layers_on_the_flattened_features() -> None:
    net = randomised(FlatDomainClassifier(4, (3, 2))).eval()
    features = torch.randn(5, 4, 2, 3)
    state = net.state_dict()
    x = features.reshape(5, 24)
    for linear, norm in ((0, 1), (3, 4)):
        x = x @ state[f"layers.{linear}.weight"].T + state[f"layers.{linear}.bias"]
        x = (x - state[f"layers.{norm}.running_mean"]) / (state[f"layers.{norm}.running_var"] + 1e-5).sqrt()
        x = F.relu(x * state[f"layers.{norm}.weight"] + state[f"layers.{norm}.bias"])
    expected = (x @ state["layers.6.weight"].T + state["layers.6.bias"])[:, 0]
    with torch.no_grad():
        torch.testing.assert_close(net(features), expected)


def test_the_pooled_classifier_does_not_see_where_things_are() -> None:
    net = randomised(DomainClassifier(6)).eval()
    features = torch.randn(3, 6, 4, 5)
    shuffled = features.flatten(2)[:, :, torch.randperm(20)].reshape(3, 6, 5, 4)
    with torch.no_grad():
        torch.testing.assert_close(net(shuffled), net(features))


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_classifier_is_drawn_from_the_generator(kind: str) -> None:
    first, second, other = (
        build_domain_classifier(kind, 4, (3, 2), torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert not changed(snapshot(first), snapshot(second))
    assert "layers.0.weight" in changed(snapshot(first), snapshot(other))
    torch.manual_seed(0)
    spread = build_domain_classifier(kind, 4, (3, 2)).layers[0].weight.std()
    assert abs(first.layers[0].weight.std() / spread - 1) < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_unrecorded_statistics_change_no_buffer_and_no_output(kind: str) -> None:
    classifier = randomised(build_domain_classifier(kind, 4, (3, 2))).train()
    features = torch.randn(8, 4, 2, 3)
    before = snapshot(classifier)
    with batch_statistics_unrecorded(classifier):
        unrecorded = classifier(features)
    assert not changed(before, snapshot(classifier))
    assert torch.equal(classifier(features), unrecorded)  # the statistics of the batch in both
    norms = {name for name in before if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert changed(before, snapshot(classifier)) == norms


def test_recording_goes_on_after_an_error_and_evaluation_mode_is_as_ever() -> None:
    classifier = randomised(DomainClassifier(4))
    features = torch.randn(8, 4, 2, 3)
    with pytest.raises(KeyError), batch_statistics_unrecorded(classifier):
        raise KeyError
    assert all(part.track_running_stats for part in classifier.modules() if isinstance(part, nn.BatchNorm1d))
    expected = classifier.eval()(features)
    with batch_statistics_unrecorded(classifier):
        assert torch.equal(classifier(features), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_one_image_alone_is_refused_in_training_with_the_remedy(kind: str) -> None:
    classifier = build_domain_classifier(kind, 4, (3, 2))
    with pytest.raises(TrainingError, match=r"a batch of 1 .* drop the last batch"):
        classifier.train()(torch.randn(1, 4, 2, 3))
    assert classifier.eval()(torch.randn(1, 4, 2, 3)).shape == (1,)


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_another_shape_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="features: expected"):
        build_domain_classifier(kind, 4, (3, 2))(torch.randn(2, 5, 2, 3))


def test_an_unknown_kind_lists_the_kinds() -> None:
    with pytest.raises(RecipeError, match=r"'deep'.*pooled, flat"):
        build_domain_classifier("deep", 4, (3, 2))
