"""The asset banks: everything that a scene is papered with, made from a bank's own seed and kept in memory.

Bank "a" dresses the synthetic images, bank "b" the simulated real ones. They share no seed, differ in their patterns
and palettes, and do not change with the user's seed, so that what one domain has seen the other has not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from fidip.images import RGBImage
from fidip.synthesis.backgrounds import background
from fidip.synthesis.grounds import GROUNDS, ground
from fidip.synthesis.pictures import PictureFolder, UserPictures, backdrop, body_texture, cloth
from fidip.synthesis.skin import SkinChart, paint_eye, paint_skin, skin_chart
from fidip.synthesis.surface import Surface
from fidip.synthesis.textures import Palette, Texture, fabric, hair

T = TypeVar("T")

SKIN_SIZE = 512
CLOTH_SIZE = 256
GROUND_SIZE = 512
PICTURE_SIZE = 400
EYE_SIZE = 64

# The hues of cloth leave out those of skin, so that nobody looks undressed.
NURSERY = Palette((0.14, 0.98), (0.08, 0.4), (0.7, 1.0))
BRIGHT = Palette((0.13, 1.0), (0.45, 0.85), (0.4, 0.95))
MUTED = Palette((0.14, 0.98), (0.05, 0.35), (0.25, 0.75))
DARK = Palette((0.55, 0.72), (0.05, 0.5), (0.08, 0.35))
PALE = Palette((0.0, 1.0), (0.0, 0.08), (0.85, 1.0))
TIMBER = Palette((0.05, 0.11), (0.25, 0.65), (0.3, 0.85))
STONE = Palette((0.05, 0.6), (0.0, 0.15), (0.35, 0.95))
CLAY = Palette((0.0, 0.08), (0.2, 0.6), (0.35, 0.8))
PAINT = Palette((0.0, 1.0), (0.02, 0.25), (0.6, 0.97))

GROUND_PALETTES: dict[str, tuple[Palette, ...]] = {
    "wood": (TIMBER,),
    "tiles": (STONE,),
    "carpet": (MUTED, BRIGHT, STONE),
    "grass": (PALE,),
    "foam": (BRIGHT, NURSERY),
    "quilt": (NURSERY, BRIGHT, MUTED),
    "sheet": (PALE, NURSERY, MUTED, NURSERY),
    "plaster": (PAINT,),
    "bricks": (CLAY, STONE),
}

HAIRS = np.array(
    [
        [30, 25, 23], [44, 33, 27], [62, 45, 34], [84, 60, 42],
        [114, 82, 54], [122, 66, 40], [152, 118, 80], [188, 156, 110],
        [118, 114, 110], [172, 168, 164],
    ],
    np.float32,
)  # fmt: skip
"""Hair from black through brown, red and blond to grey and white, sRGB."""

DARK_HAIRS, COLOURED_HAIRS = 3, 8
"""How many of them go with every skin, and how many belong to the young."""

HAIR_DENSITIES = (0.62, 0.8, 1.0)
TOY_PATTERNS = ("plain", "plain", "stripes", "dots") * 3
DIAPER_PATTERNS = ("plain", "plain", "motifs", "dots") * 2


@dataclass(frozen=True, slots=True)
class BankRecipe:
    """What a bank is made of; how often a name is repeated is how often it is made."""

    seed: int
    patterns: tuple[str, ...]  # of fabrics
    palettes: tuple[Palette, ...]  # of fabrics
    floors: tuple[str, ...]
    walls: tuple[str, ...]
    pictures: tuple[str, ...]
    skins: int


BANKS: dict[str, BankRecipe] = {
    "a": BankRecipe(
        seed=0xA11CE,
        patterns=("plain", "stripes", "checks", "dots") * 8,
        palettes=(BRIGHT, NURSERY, MUTED),
        floors=("carpet", "tiles", "quilt", "wood") * 3,
        walls=("plaster",) * 4,
        pictures=("room", "cloth", "room", "garden", "clutter", "room", "out-of-focus", "cloth") * 3,
        skins=10,
    ),
    "b": BankRecipe(
        seed=0xB0B0,
        patterns=("plain", "motifs", "melange", "knit", "tartan", "stripes", "dots", "plain") * 6,
        palettes=(NURSERY, NURSERY, MUTED, DARK, BRIGHT, PALE),
        floors=("wood", "sheet", "carpet", "foam", "sheet", "quilt", "grass", "sheet", "tiles", "sheet") * 3,
        walls=("plaster", "plaster", "bricks", "plaster") * 2,
        pictures=("room", "garden", "room", "out-of-focus") * 3,
        skins=16,
    ),
}


class Ground(NamedTuple):
    """A floor or wall: its kind, its texture and the metres that one repeat spans."""

    kind: str
    texture: Texture
    span: float


class Shelf(Sequence[T]):
    """Things that are made when first asked for and then kept; the n-th depends on the seed and n only.

    ``guests`` stand behind them: things of the user's that are fetched anew each time, however many there are.
    """

    def __init__(
        self, seed: tuple[int, int], makers: Sequence[Callable[[np.random.Generator], T]],
        guests: Sequence[Callable[[], T]] = (),
    ) -> None:  # fmt: skip
        self._seed, self._makers, self._guests = seed, makers, guests
        self._made: dict[int, T] = {}

    def __len__(self) -> int:
        return len(self._makers) + len(self._guests)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        if place >= len(self._makers):
            return self._guests[place - len(self._makers)]()
        if place not in self._made:
            self._made[place] = self._makers[place](np.random.default_rng([*self._seed, place]))
        return self._made[place]


class AssetBank:
    """The textures and pictures of one bank, for one body's atlas."""

    skins: Sequence[Texture]  # in the body's atlas
    eyes: Sequence[Texture]  # an eyeball seen from the front
    fabrics: Sequence[Texture]  # for clothes, blankets and toys
    diapers: Sequence[Texture]  # white cloth, some of it printed in pale colours
    hairs: tuple[Sequence[Texture], ...]  # by HAIR_DENSITIES, each by HAIRS
    toys: Sequence[Texture]
    floors: Sequence[Ground]  # what a body lies, sits or stands on
    walls: Sequence[Ground]
    pictures: Sequence[NDArray[np.uint8]]  # whole backgrounds, (S, S, 3)
    bodies: Sequence[Texture]  # the user's; where there are some nobody needs skin, hair or clothes
    body_names: tuple[str, ...]  # of their files, below the folder of their kind
    floor_kinds: tuple[str, ...]
    picture_kinds: tuple[str, ...]

    def __init__(self, name: str, surface: Surface, pictures: UserPictures) -> None:
        recipe = BANKS[name]
        cloths = _guests(pictures.textures, lambda pixels: cloth(pixels, CLOTH_SIZE))
        backdrops = _guests(pictures.backgrounds, backdrop)
        self.name, self.floor_kinds = name, recipe.floors
        own_pictures = () if pictures.only_theirs else recipe.pictures
        self.picture_kinds = (*own_pictures, *(USERS for _ in backdrops))
        self.bodies = Shelf((0, 0), (), [each for kind in pictures.bodies for each in _guests(kind, body_texture)])
        self.body_names = tuple(f"{kind.folder.name}/{name}" for kind in pictures.bodies for name in kind.files)

        @cache
        def chart() -> SkinChart:
            return skin_chart(surface, SKIN_SIZE)

        def woven(pattern: str, palettes: tuple[Palette, ...]) -> Callable[[np.random.Generator], Texture]:
            return lambda rng: fabric(rng, CLOTH_SIZE, pattern, palettes[rng.integers(len(palettes))])

        def skin(darkness: float) -> Callable[[np.random.Generator], Texture]:
            return lambda rng: paint_skin(rng, chart(), darkness)

        self.skins = Shelf((recipe.seed, 0), [skin(darkness) for darkness in np.linspace(0, 1, recipe.skins)])
        self.eyes = Shelf((recipe.seed, 1), [lambda rng: paint_eye(rng, EYE_SIZE)] * 12)
        self.fabrics = Shelf((recipe.seed, 2), [woven(pattern, recipe.palettes) for pattern in recipe.patterns], cloths)
        self.diapers = Shelf((recipe.seed, 3), [woven(pattern, (PALE,)) for pattern in DIAPER_PATTERNS])
        self.hairs = tuple(
            Shelf((recipe.seed, 4 + step), [partial(_hair, colour, density) for colour in HAIRS])
            for step, density in enumerate(HAIR_DENSITIES)
        )
        self.toys = Shelf((recipe.seed, 10), [woven(pattern, (BRIGHT, NURSERY)) for pattern in TOY_PATTERNS])
        self.floors = Shelf((recipe.seed, 11), [partial(_ground, kind) for kind in recipe.floors])
        self.walls = Shelf((recipe.seed, 12), [partial(_ground, kind) for kind in recipe.walls])
        self.pictures = Shelf((recipe.seed, 13), [partial(_picture, kind) for kind in own_pictures], backdrops)


USERS = "the user's"
"""The kind of a picture from the user's own folder."""


def _guests(folder: PictureFolder | None, use: Callable[[RGBImage], T]) -> list[Callable[[], T]]:
    def fetch(index: int, pictures: PictureFolder) -> T:
        return use(pictures.read(index))

    return [] if folder is None else [partial(fetch, index, folder) for index in range(len(folder.files))]


def _hair(colour: NDArray[np.float32], density: float, rng: np.random.Generator) -> Texture:
    return hair(rng, CLOTH_SIZE, colour * rng.normal(1, 0.08), density)


def _ground(kind: str, rng: np.random.Generator) -> Ground:
    palettes = GROUND_PALETTES[kind]
    return Ground(kind, ground(rng, GROUND_SIZE, kind, palettes[rng.integers(len(palettes))]), GROUNDS[kind][1])


def _picture(kind: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    return background(rng, PICTURE_SIZE, kind)


NO_PICTURES = UserPictures()


@lru_cache(maxsize=4)
def asset_bank(name: str, surface: Surface, pictures: UserPictures = NO_PICTURES) -> AssetBank:
    """A bank by name, with what a user adds to it; the same object for the life of the process."""
    return AssetBank(name, surface, pictures)
