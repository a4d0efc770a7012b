from __future__ import annotations

from typing import Any

import pytest
import torch

from fidip.errors import WeightsError
from fidip.networks.architectures import architecture_of
from fidip.networks.pose import build_pose_net
from fidip.networks.published import PUBLISHED
from fidip.networks.weights import to_published_names


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_network_is_recognised(name: str) -> None:
    card = PUBLISHED[name]
    with torch.device("meta"):
        state = to_published_names(build_pose_net(card).state_dict())
    found = architecture_of(state, "x.pth")
    assert found == {field: getattr(card, field) for field in found}
    assert {"backbone", "width", "head"} <= found.keys()
    assert ("head_width" in found) == (card.head == "pixel-shuffle" or "deconv_layers.0.weight" in state)


@pytest.mark.parametrize(
    "shapes",
    [
        {"encoder.weight": (3, 3)},
        {"conv1.weight": (64, 3, 7, 7)},
        {"conv1.weight": (64, 3, 7, 7), "layer1.0.conv1.weight": (64, 64, 3, 3)},
        {"features.0.0.weight": ()},
        {"pos_embed": (1, 193, 8), "deconv_layers.0.weight": (3,)},
        {},
    ],
)
def test_what_is_no_network_that_is_known_is_named(shapes: dict[str, Any]) -> None:
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    with pytest.raises(WeightsError, match=r"^x\.pth: no network that is known here holds"):
        architecture_of(state, "x.pth")
