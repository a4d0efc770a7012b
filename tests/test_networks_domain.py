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

KINDS = ["pooled", "flat", "hrnet", "mobilenet"]
SIZE = (11, 10)  # w, h: the smallest of the kinds leaves one pixel of it


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


@pytest.mark.parametrize(
    ("kind", "channels", "size", "flattened", "parameters"),
    [("hrnet", 48, (72, 96), 8 * 22 * 16, 754_553), ("mobilenet", 1280, (7, 7), 16 * 3 * 3, 847_153)],
)
def test_the_classifiers_of_the_later_tables_have_the_published_size(
    kind: str, channels: int, size: tuple[int, int], flattened: int, parameters: int
) -> None:
    with torch.device("meta"):
        classifier = build_domain_classifier(kind, channels, size)
        assert classifier(torch.empty(4, channels, *reversed(size))).shape == (4,)
    assert sum(parameter.numel() for parameter in classifier.parameters()) == parameters
    assert [m.in_features for m in classifier.modules() if isinstance(m, nn.Linear)] == [flattened, 256, 64]


@pytest.mark.parametrize(
    ("kind", "convolutions"),
    [("hrnet", ((0, True), (4, True))), ("mobilenet", ((0, False), (3, False), (6, True)))],
)
def test_the_classifiers_of_the_later_tables_agree_with_their_description(
    kind: str, convolutions: tuple[tuple[int, bool], ...]
) -> None:
    net = randomised(build_domain_classifier(kind, 5, (17, 13))).double().eval()
    features = torch.randn(3, 5, 13, 17, generator=torch.Generator().manual_seed(1)).double()
    x, state = features, net.state_dict()

    def normalised(x: torch.Tensor, name: str) -> torch.Tensor:
        shape = (1, -1, *[1] * (x.ndim - 2))
        mean, variance, scale, shift = (
            state[f"{name}.{part}"].view(shape) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.relu((x - mean) / (variance + 1e-5).sqrt() * scale + shift)

    for index, pooled in convolutions:
        name = f"convolutions.{index}"
        x = normalised(F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"]), f"convolutions.{index + 1}")
        x = F.max_pool2d(x, 2) if pooled else x
    x = x.reshape(3, -1)
    for index in (0, 3):
        x = x @ state[f"layers.{index}.weight"].T + state[f"layers.{index}.bias"]
        x = normalised(x, f"layers.{index + 1}")
    expected = (x @ state["layers.6.weight"].T + state["layers.6.bias"])[:, 0]
    with torch.no_grad():
        torch.testing.assert_close(net(features), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "size"), [("hrnet", (9, 10)), ("mobilenet", (1, 4))])
def test_features_too_small_for_a_classifier_are_refused_with_a_remedy(kind: str, size: tuple[int, int]) -> None:
    with pytest.raises(RecipeError, match=f"features of {size[0]}x{size[1]} .*too small.* choose 'pooled'"):
        build_domain_classifier(kind, 4, size)


def test_the_pooled_classifier_does_not_see_where_things_are() -> None:
    net = randomised(DomainClassifier(6)).eval()
    features = torch.randn(3, 6, 4, 5)
    shuffled = features.flatten(2)[:, :, torch.randperm(20)].reshape(3, 6, 5, 4)
    with torch.no_grad():
        torch.testing.assert_close(net(shuffled), net(features))


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_classifier_is_drawn_from_the_generator(kind: str) -> None:
    first, second, other = (
        build_domain_classifier(kind, 4, SIZE, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert not changed(snapshot(first), snapshot(second))
    assert "layers.0.weight" in changed(snapshot(first), snapshot(other))
    torch.manual_seed(0)
    usual = dict(build_domain_classifier(kind, 4, SIZE).named_parameters())
    large = [name for name, parameter in usual.items() if parameter.ndim > 1 and parameter.numel() > 500]
    assert len(large) >= 2
    for name in large:
        assert abs(first.get_parameter(name).std() / usual[name].std() - 1) < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_unrecorded_statistics_change_no_buffer_and_no_output(kind: str) -> None:
    classifier = randomised(build_domain_classifier(kind, 4, SIZE)).train()
    features = torch.randn(8, 4, 10, 11)
    before = snapshot(classifier)
    with batch_statistics_unrecorded(classifier):
        unrecorded = classifier(features)
    assert not changed(before, snapshot(classifier))
    assert torch.equal(classifier(features), unrecorded)  # the statistics of the batch in both
    norms = {name for name in before if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert changed(before, snapshot(classifier)) == norms


def test_recording_goes_on_after_an_error_and_evaluation_mode_is_as_ever() -> None:
    classifier = randomised(DomainClassifier(4))
    features = torch.randn(8, 4, 10, 11)
    with pytest.raises(KeyError), batch_statistics_unrecorded(classifier):
        raise KeyError
    assert all(part.track_running_stats for part in classifier.modules() if isinstance(part, nn.BatchNorm1d))
    expected = classifier.eval()(features)
    with batch_statistics_unrecorded(classifier):
        assert torch.equal(classifier(features), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_one_image_alone_is_refused_in_training_with_the_remedy(kind: str) -> None:
    classifier = build_domain_classifier(kind, 4, SIZE)
    with pytest.raises(TrainingError, match=r"a batch of 1 .* drop the last batch"):
        classifier.train()(torch.randn(1, 4, 10, 11))
    assert classifier.eval()(torch.randn(1, 4, 10, 11)).shape == (1,)


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_another_shape_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="features: expected"):
        build_domain_classifier(kind, 4, SIZE)(torch.randn(2, 5, 10, 11))


def test_an_unknown_kind_lists_the_kinds() -> None:
    with pytest.raises(RecipeError, match=r"'deep'.*pooled, flat"):
        build_domain_classifier("deep", 4, (3, 2))
