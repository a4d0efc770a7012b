from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fidip.errors import RecipeError
from fidip.networks.backbones import BACKBONES
from fidip.networks.card import NetworkCard, published_pose_resnet
from fidip.networks.heads import HEADS
from fidip.networks.weights import embedded_names, load_pose_net

CARD = NetworkCard("resnet-18", 16, (96, 128))

sides = st.integers(1, 200).map(lambda n: 32 * n)
constants = st.floats(0.01, 10)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
cards = st.builds(
    NetworkCard,
    backbone=st.sampled_from(sorted(BACKBONES)),
    width=st.integers(1, 128) | st.floats(0.1, 2),
    input_size=st.tuples(sides, sides),
    head_width=st.integers(1, 512),
    head=st.sampled_from(sorted(HEADS)),
    colour_order=st.sampled_from(["RGB", "BGR"]),
    mean=st.tuples(constants, constants, constants),
    std=st.tuples(constants, constants, constants),
    affine=st.sampled_from(["dark", "simple-baseline", "udp"]),
    heatmap_sigma=constants,
    encoding=st.sampled_from(["unbiased", "quantised"]),
    decoding=st.sampled_from(["dark", "quarter"]),
    blur_kernel=st.integers(0, 20).map(lambda n: 2 * n + 1),
    flip_shift=st.booleans(),
    name=st.text(),
    description=st.text(),
    licence=st.text(),
    training=st.dictionaries(st.text(), plain, max_size=4),
    parameters=st.none() | st.integers(1, 10**9),
)


@given(cards)
def test_json_and_back_is_the_identity(card: NetworkCard) -> None:
    assert NetworkCard.from_json(card.to_json()) == card


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("backbone", "resnet-51"), ("backbone", ["resnet-18"]), ("backbone", None), ("skeleton", "coco-18"),
        ("width", 0), ("width", float("nan")), ("width", "64"), ("width", True), ("width", 10**400),
        ("input_size", (96,)), ("input_size", (96, 128.0)), ("input_size", (96, 0)), ("input_size", [96, 128]),
        ("head_width", 0), ("head_width", 1.5), ("head", "softmax"), ("head", None), ("width", 4096),
        ("colour_order", "rgb"),
        ("mean", (0.5, 0.5)), ("mean", (0.5, 0.5, float("inf"))), ("std", (0.2, 0.2, 0.0)),
        ("affine", "mpii"), ("heatmap_sigma", -1), ("encoding", "soft"), ("decoding", "softmax"), ("blur_kernel", 10),
        ("flip_shift", 1.5), ("flip_shift", "yes"), ("name", None), ("training", 3),
        ("training", {"loss": float("nan")}), ("training", {"net": object()}), ("parameters", 0), ("parameters", 1.5),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(field: str, value: object) -> None:
    with pytest.raises(RecipeError, match=f"network card: {field}: expected "):
        replace(CARD, **{field: value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "expected a JSON object, found list"),
        ('{"backbone": "resnet-18", "width": 16}', "missing field input_size"),
        (json.dumps(json.loads(CARD.to_json()) | {"colour": "RGB"}), "unknown field colour"),
        (json.dumps(json.loads(CARD.to_json()) | {"std": [1, 1]}), "std: expected"),
    ],
)
def test_a_text_that_is_no_card_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        NetworkCard.from_json(text)


def test_cards_written_before_heads_were_a_choice_have_the_head_of_then() -> None:
    values = json.loads(CARD.to_json())
    del values["head"]
    assert NetworkCard.from_json(json.dumps(values)) == CARD
    assert CARD.head == "deconvolution"
    assert [load_pose_net(name).card.head for name in embedded_names()] == ["deconvolution"] * len(embedded_names())
    assert embedded_names()


def test_a_card_cannot_change_afterwards() -> None:
    figures = {"AP": [0.5]}
    card = replace(CARD, training=figures)
    figures["AP"].append(0.6)
    assert card.training == {"AP": [0.5]}
    with pytest.raises(FrozenInstanceError):
        card.width = 32  # type: ignore[misc]


def test_the_published_cards_name_the_size_of_their_heatmaps() -> None:
    small, large = (published_pose_resnet(50, size) for size in ((192, 256), (288, 384)))
    assert (small.heatmap_size, small.heatmap_sigma, small.colour_order) == ((48, 64), 2.0, "BGR")
    assert (large.heatmap_size, large.heatmap_sigma, large.affine) == ((72, 96), 3.0, "simple-baseline")
    with pytest.raises(RecipeError, match="192x256 and 288x384"):
        published_pose_resnet(50, (224, 224))
    with pytest.raises(RecipeError, match="backbone: expected one of resnet-18"):
        published_pose_resnet(20, (192, 256))
