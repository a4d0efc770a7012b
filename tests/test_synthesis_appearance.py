from __future__ import annotations

import numpy as np
import pytest

from fidip.synthesis.appearance import BANKS, HAIR_DENSITIES, HAIRS, Shelf, asset_bank
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.surface import surface_of


def test_a_shelf_makes_each_thing_once_and_in_any_order_the_same() -> None:
    made = []

    def maker(name: str):
        def make(rng: np.random.Generator) -> tuple[str, float]:
            made.append(name)
            return name, float(rng.random())

        return make

    shelves = [Shelf((7, 1), [maker(name) for name in "abc"]) for _ in range(2)]
    assert len(shelves[0]) == 3
    forwards, backwards = [shelves[0][i] for i in range(3)], [shelves[1][i] for i in (2, 1, 0)]
    assert forwards == backwards[::-1] == list(shelves[0])
    assert shelves[0][-1] is shelves[0][2]
    assert len(made) == 6
    assert len({number for _, number in forwards}) == 3
    with pytest.raises(IndexError):
        shelves[0][3]


def test_the_banks_share_nothing() -> None:
    surface = surface_of(AnnyBody.load())
    a, b = (asset_bank(name, surface) for name in "ab")
    assert BANKS["a"].seed != BANKS["b"].seed
    assert set(BANKS["a"].patterns) != set(BANKS["b"].patterns)
    for kind, count in (("fabrics", 4), ("diapers", 3), ("eyes", 2), ("toys", 2)):
        textures = [{item.tobytes() for item in getattr(bank, kind)[:count]} for bank in (a, b)]
        assert textures[0].isdisjoint(textures[1]), kind
    assert a.skins[0].tobytes() != b.skins[0].tobytes()
    assert asset_bank("a", surface) is a


@pytest.mark.parametrize("name", BANKS)
def test_a_bank_has_everything_that_a_scene_asks_for(name: str) -> None:
    bank = asset_bank(name, surface_of(AnnyBody.load()))
    assert len(bank.floors) == len(bank.floor_kinds)
    assert len(bank.pictures) == len(bank.picture_kinds)
    assert [len(shelf) for shelf in bank.hairs] == [len(HAIRS)] * len(HAIR_DENSITIES)
    floor, picture, wall = bank.floors[0], bank.pictures[0], bank.walls[0]
    assert floor.kind == bank.floor_kinds[0]
    assert floor.texture.shape[2] == wall.texture.shape[2] == 4
    assert picture.shape[2] == 3
    assert {"garden", "room"} <= set(bank.picture_kinds)  # what shows behind grass, and behind other floors
    white = bank.diapers[0][..., :3].astype(float)
    assert white.mean() > 190
