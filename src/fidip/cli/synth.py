"""``fidip synth``: labelled images of synthetic people."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import tyro

from fidip.errors import RecipeError

if TYPE_CHECKING:
    from fidip.synthesis.generate import Crew
    from fidip.synthesis.pictures import UserPictures
    from fidip.synthesis.presets import Preset

STYLES = {"flat": "flat", "raycast": "photo"}
"""What the scenes of a renderer are called."""


class Folders(NamedTuple):
    """Where the user's pictures are, in the order of ``UserPictures.open``."""

    textures: Path | None
    backgrounds: Path | None
    body_textures: Path | None


def synth(
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")],
    *,
    count: int | None = None,
    population: Literal["infant", "adult"] = "infant",
    renderer: Literal["flat", "raycast"] | None = None,
    size: Annotated[str | None, tyro.conf.arg(metavar="PX|WxH")] = None,
    seed: int = 0,
    workers: int = 1,
    age_months: Annotated[str | None, tyro.conf.arg(metavar="LOW-HIGH")] = None,
    fits: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    select: int | None = None,
    rotations: int | None = None,
    keep: int | None = None,
    body: Literal["anny", "smpl"] = "anny",
    body_file: Annotated[Path | None, tyro.conf.arg(metavar="BODY.npz")] = None,
    body_textures: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    recipe: Literal["paper"] | None = None,
    take: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KIND=N")] = (),
    vary: Annotated[float | None, tyro.conf.arg(metavar="DEGREES")] = None,
    prior: Annotated[str | None, tyro.conf.arg(metavar="PRIOR.npz|default")] = None,
    textures: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    backgrounds: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    shard: Annotated[str, tyro.conf.arg(metavar="I/N")] = "1/1",
    ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None,
    keep_ground_truth: bool = False,
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Make labelled images of synthetic infants or adults: OUT/annotations.json and OUT/images.

    The same options and seed give the same bytes, whatever the number of workers. The same command on a folder that an
    interrupted run has left completes it.

    Args:
        out: A new folder.
        count: How many images; not with --fits, which says it by --keep.
        population: Whom the images show.
        renderer: flat puts unlit bodies before pictures, as the published pipeline did; raycast makes lit rooms with
            soft shadows, seen through a camera's sensor (simulated real images; needs the extra "synthesis"). raycast
            unless a recipe says otherwise.
        size: Width and height in pixels, or one number for both; 256 unless a recipe says otherwise.
        seed: Decides everything random.
        workers: Processes.
        age_months: Ages of the infants, such as 0-12; without it newborns to toddlers of two years.
        fits: A folder of "fidip fit": show these bodies instead of drawn ones. Before the ray caster they are laid on
            the floor, in the posture of their picture where that is known.
        select: So many of the plausible fits, chosen at random; without it all of them.
        rotations: In how many turns each of them is shown, or with --renderer raycast from how many cameras; 10 if
            not given.
        keep: So many of the images that this makes, chosen at random; without it all of them.
        body: The body that the fits are of: the bundled one, or an SMPL or SMIL body of yours.
        body_file: Your body, converted with "fidip convert-body"; for --body smpl only.
        body_textures: A folder of pictures of whole bodies in SMPL's layout, skin and clothes in one, or sub-folders
            infant and clothing; for a body that was converted with --uv-template.
        recipe: paper sets the paper's own numbers, which options given beside it replace: --select 100 --rotations 10
            --keep 504 --size 640x480 --renderer flat --take infant=12 clothing=478 backgrounds=600, and no background
            but yours.
        take: So many of your pictures of a kind (infant, clothing, backgrounds), chosen at random, such as infant=12;
            without it all of them.
        vary: Noise on the joints of each image's fit, as a standard deviation in degrees; halved where the pose would
            be impossible.
        prior: Draw poses from a file of "fidip prior", or "default" for the package's own, instead of the sampler.
        textures: A folder of pictures of cloth, which join those that clothes, blankets and toys are made of.
        backgrounds: A folder of pictures of any size, which join those that show behind everything.
        shard: Make a part of the images only, such as 3/16: every sixteenth from the third on, as in the whole.
        ray: Render on a running Ray cluster instead of this machine, such as auto or 10.0.0.5:6379 (needs the extra
            "cluster"); the files are written here.
        keep_ground_truth: Also write mask, depth, body parts, joints, body and camera of each image to OUT/truth.
        json: Also write what was made, and how fast, to this file.
    """
    from fidip.cli.output import write_report
    from fidip.cli.progress import bar
    from fidip.synthesis.bodies import BodyChoice
    from fidip.synthesis.fitted import FittedBodies
    from fidip.synthesis.generate import generate
    from fidip.synthesis.presets import PLAIN, PRESETS
    from fidip.synthesis.prior_poses import PriorPoses
    from fidip.synthesis.sample import Settings

    part = parse_shard(shard)
    preset = PLAIN if recipe is None else PRESETS[recipe]
    renderer, size = renderer or preset.renderer, size or preset.size
    rotations = preset.rotations if rotations is None else rotations
    select, keep = preset.select if select is None else select, preset.keep if keep is None else keep
    folders = Folders(textures, backgrounds, body_textures)
    if recipe is not None and None in (fits, backgrounds, body_textures):
        raise RecipeError(f"--recipe {recipe}: needs --fits DIR, --body-textures DIR and --backgrounds DIR")
    choice, fitted = BodyChoice.open(body, body_file), None
    if fits is not None:
        if count is not None or age_months is not None:
            raise RecipeError("--fits: the fits say how many and how old; leave out --count and --age-months")
        if prior is not None:
            raise RecipeError("--prior: the fits say how bodies are posed; leave out --prior or --fits")
        fitted = FittedBodies.open(fits, select, rotations, keep, seed, choice if renderer == "raycast" else None)
        fitted = fitted if vary is None else fitted.varied(vary)
        count = len(fitted.shown)
    elif select is not None or keep is not None:
        raise RecipeError("--select and --keep choose among fits; add --fits DIR")
    elif vary is not None:
        raise RecipeError("--vary moves the joints of fits; add --fits DIR")
    if prior is not None and population != "infant":
        raise RecipeError("--prior: priors are of infants; give --population infant")
    if count is None:
        raise RecipeError("--count: say how many images, or whom they show by --fits DIR")
    settings = Settings(
        f"{population}-{STYLES[renderer]}", count, parse_size(size), seed, keep_ground_truth,
        None if age_months is None else parse_months(age_months), _pictures(folders, preset, take, seed), fitted,
        choice, None if prior is None else PriorPoses.open(prior),
    )  # fmt: skip
    start = time.perf_counter()
    with bar("rendering", len(range(part[0] - 1, count, part[1]))) as show, _crew(workers, ray) as crew:
        images = generate(out, settings, crew, part, show)
    seconds = time.perf_counter() - start
    print(f"{len(images)} images in {out}: annotations.json and images/")
    report = {
        "out": out,
        "annotations": out / "annotations.json",
        "images": len(images),
        "people": sum(len(image.people) for image in images),
        "visible_keypoints": sum(
            int((person.keypoints[:, 2] == 2).sum()) for image in images for person in image.people
        ),
        "population": population,
        "renderer": renderer,
        "seed": seed,
        "shard": shard,
        "seconds": round(seconds, 3),
    }
    write_report(json, report)


def _pictures(folders: Folders, preset: Preset, take: tuple[str, ...], seed: int) -> UserPictures:
    """The user's pictures, or so many of each kind as the preset says and ``take`` says better."""
    from fidip.synthesis.pictures import UserPictures
    from fidip.synthesis.presets import parse_take

    own = parse_take(take)
    for kind in own:
        if (folders.backgrounds if kind == "backgrounds" else folders.body_textures) is None:
            option = "--backgrounds" if kind == "backgrounds" else "--body-textures"
            raise RecipeError(f"--take {kind}={own[kind]}: there are none to choose from; add {option} DIR")
    opened = UserPictures.open(*folders, take={**preset.take, **own}, seed=seed)
    return replace(opened, only_theirs=preset.only_theirs)


@contextmanager
def _crew(workers: int, ray: str | None) -> Iterator[Crew | int]:
    """Who renders: processes of this machine, or a cluster for as long as it is needed."""
    if ray is None:
        yield workers
        return
    from fidip.synthesis.cluster import RayCrew

    crew = RayCrew(ray)
    try:
        yield crew
    finally:
        crew.close()


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of ``256`` or ``640x480``. Raises ``RecipeError``."""
    match = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text.strip().lower())
    if match is None:
        raise RecipeError(f"--size {text}: give pixels such as 256, or width and height such as 640x480")
    width = int(match[1])
    return width, int(match[2]) if match[2] else width


def parse_months(text: str) -> tuple[float, float]:
    """(youngest, oldest) of ``0-12`` or ``3.5-6``. Raises ``RecipeError``."""
    match = re.fullmatch(r"(\d{1,4}(?:\.\d+)?)-(\d{1,4}(?:\.\d+)?)", text.strip())
    if match is None or float(match[1]) >= float(match[2]):
        raise RecipeError(f"--age-months {text}: give the youngest and the oldest age, such as 0-12")
    return float(match[1]), float(match[2])


def parse_shard(text: str) -> tuple[int, int]:
    """(i, n) of ``3/16``. Raises ``RecipeError``."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    if match is None:
        raise RecipeError(f"--shard {text}: give a part and how many parts there are, such as 3/16")
    return int(match[1]), int(match[2])
