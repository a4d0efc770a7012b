# mypy: ignore-errors
"""What a ray meets in a textured scene, in NVIDIA Warp's dialect of Python: the same code on CPU and GPU.

This is the one place that imports the package warp. Structs are handed on as arrays of one: Warp copies a struct at
every call of a function, and the copies cost more than the rays.
"""

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from fidip.errors import MissingExtra
from fidip.files import storage_error
from fidip.platform import cache_dir

try:
    import warp as wp
except ImportError as error:
    raise MissingExtra("warp-lang", "synthesis", "the raycast renderer") from error

__all__ = ["Surface", "World", "blocked", "first_hit", "start_warp", "wp"]

FAR = wp.constant(1000.0)  # metres
LAYERS = wp.constant(16)  # holes that one ray may pass
STEP = wp.constant(1.0e-4)  # metres by which a ray leaves a hole or a surface
SHARPNESS = wp.constant(0.25)  # levels by which textures are kept sharper than their footprint asks


@functools.cache
def start_warp() -> None:
    """Start Warp quietly; compiled kernels are kept in ``kernels`` in the user's cache.

    ``WARP_CACHE_PATH`` names another place.

    Raises:
        StorageError: the cache cannot be written.
    """
    wp.config.log_level = wp.LOG_ERROR
    wp.config.use_precompiled_headers = False  # slower for a single module, and left lying in the temporary folder
    if "WARP_CACHE_PATH" not in os.environ and wp.config.kernel_cache_dir is None:
        wp.config.kernel_cache_dir = str(cache_dir() / "kernels")
    try:
        with _native_errors_muted():
            wp.init()
    except OSError as error:
        raise storage_error(Path(wp.config.kernel_cache_dir or cache_dir()), error) from error


@contextlib.contextmanager
def _native_errors_muted() -> Iterator[None]:
    """Without a GPU, Warp's library writes a warning past Python to the standard error; here nobody needs it."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@wp.struct
class World:
    """Geometry, appearance and light. Faces without holes come first; each kind has its own search tree."""

    solid: wp.uint64  # 0: none
    pierced: wp.uint64  # 0: none; its faces follow those of the solid tree
    solid_faces: int
    vertices: wp.array(dtype=wp.vec3)
    normals: wp.array(dtype=wp.vec3)
    uvs: wp.array(dtype=wp.vec2)
    faces: wp.array(dtype=wp.vec3i)
    meshes: wp.array(dtype=int)  # of each face
    parts: wp.array(dtype=int)  # of each face
    skin: wp.array(dtype=int)  # of each mesh
    levels: wp.array2d(dtype=wp.vec3i)  # mesh, level -> first texel, width, height
    texels: wp.array(dtype=wp.uint32)
    linear: wp.array(dtype=float)  # of each sRGB byte
    light_directions: wp.array(dtype=wp.vec3)
    light_colours: wp.array(dtype=wp.vec3)
    ambient: wp.vec3
    body_low: wp.array(dtype=wp.vec3)  # boxes round the whole body and then round its parts; may be empty
    body_high: wp.array(dtype=wp.vec3)
    reach: float  # metres: ambient light is blocked by what is nearer, and only this near to the body


@wp.struct
class Surface:
    """What a ray met."""

    face: int  # −1: nothing
    depth: float
    position: wp.vec3
    normal: wp.vec3  # smooth
    flat: wp.vec3  # of the triangle; both face the ray
    albedo: wp.vec3


@wp.func
def texel(world: wp.array(dtype=World), first: int, place: int):
    packed = world[0].texels[first + place]
    return wp.vec4(
        world[0].linear[int(packed & wp.uint32(255))],
        world[0].linear[int((packed >> wp.uint32(8)) & wp.uint32(255))],
        world[0].linear[int((packed >> wp.uint32(16)) & wp.uint32(255))],
        float(packed >> wp.uint32(24)),
    )


@wp.func
def sample(world: wp.array(dtype=World), mesh: int, uv: wp.vec2, level: int):
    """Bilinear, repeating lookup: linear colour and alpha in [0, 255]."""
    place = world[0].levels[mesh, level]
    x = (uv[0] - wp.floor(uv[0])) * float(place[1]) - 0.5
    y = (1.0 - (uv[1] - wp.floor(uv[1]))) * float(place[2]) - 0.5
    left = int(wp.floor(x))
    above = int(wp.floor(y))
    across = x - float(left)
    down = y - float(above)
    x0 = wp.where(left < 0, place[1] - 1, left)
    x1 = wp.where(left + 1 < place[1], left + 1, 0)
    y0 = wp.where(above < 0, place[2] - 1, above) * place[1]
    y1 = wp.where(above + 1 < place[2], above + 1, 0) * place[1]
    upper = texel(world, place[0], y0 + x0) * (1.0 - across) + texel(world, place[0], y0 + x1) * across
    lower = texel(world, place[0], y1 + x0) * (1.0 - across) + texel(world, place[0], y1 + x1) * across
    return upper * (1.0 - down) + lower * down


@wp.func
def uv_at(world: wp.array(dtype=World), face: int, u: float, v: float):
    corners = world[0].faces[face]
    return world[0].uvs[corners[0]] * u + world[0].uvs[corners[1]] * v + world[0].uvs[corners[2]] * (1.0 - u - v)


@wp.func
def footprint_level(world: wp.array(dtype=World), face: int, mesh: int, pixel: float):
    """The texture level whose texels are about as large as a pixel, ``pixel`` metres wide on the surface."""
    corners = world[0].faces[face]
    origin = world[0].vertices[corners[0]]
    area = wp.length(wp.cross(world[0].vertices[corners[1]] - origin, world[0].vertices[corners[2]] - origin))
    ab = world[0].uvs[corners[1]] - world[0].uvs[corners[0]]
    ac = world[0].uvs[corners[2]] - world[0].uvs[corners[0]]
    full = world[0].levels[mesh, 0]
    texels = wp.abs(ab[0] * ac[1] - ab[1] * ac[0]) * float(full[1]) * float(full[2])
    per_pixel = texels / wp.max(area, 1.0e-12) * pixel * pixel
    level = int(wp.floor(0.5 * wp.log2(wp.max(per_pixel, 1.0)) + 0.5 - SHARPNESS))
    return wp.min(level, world[0].levels.shape[1] - 1)


@wp.func
def first_hit(world: wp.array(dtype=World), start: wp.vec3, ray: wp.vec3, pixel: float):
    """Follow a ray through holes to the first surface. ``ray`` advances one metre of depth per unit."""
    surface = Surface()
    surface.face = -1
    depth = wp.float32(FAR)
    u = wp.float32(0.0)
    v = wp.float32(0.0)
    if world[0].solid != wp.uint64(0):
        solid = wp.mesh_query_ray(world[0].solid, start, ray, FAR)
        if solid.result:
            surface.face = solid.face
            depth = solid.t
            u = solid.u
            v = solid.v
    if world[0].pierced != wp.uint64(0):
        gone = wp.float32(0.0)
        for _ in range(LAYERS):
            found = wp.mesh_query_ray(world[0].pierced, start + ray * gone, ray, depth - gone)
            if not found.result:
                break
            gone += found.t
            face = found.face + world[0].solid_faces
            if sample(world, world[0].meshes[face], uv_at(world, face, found.u, found.v), 0)[3] >= 128.0:
                surface.face = face
                depth = gone
                u = found.u
                v = found.v
                break
            gone += STEP
    if surface.face < 0:
        return surface
    corners = world[0].faces[surface.face]
    w = 1.0 - u - v
    a = world[0].vertices[corners[0]]
    flat = wp.normalize(wp.cross(world[0].vertices[corners[1]] - a, world[0].vertices[corners[2]] - a))
    normal = wp.normalize(
        world[0].normals[corners[0]] * u + world[0].normals[corners[1]] * v + world[0].normals[corners[2]] * w
    )
    if wp.dot(flat, ray) > 0.0:
        flat = -flat
    if wp.dot(normal, flat) < 0.0:
        normal = -normal
    tilt = wp.max(-wp.dot(flat, ray) / wp.length(ray), 0.1)
    mesh = world[0].meshes[surface.face]
    level = footprint_level(world, surface.face, mesh, pixel * depth / wp.sqrt(tilt))
    rgba = sample(world, mesh, uv_at(world, surface.face, u, v), level)
    surface.depth = depth
    surface.position = start + ray * depth
    surface.normal = normal
    surface.flat = flat
    surface.albedo = wp.vec3(rgba[0], rgba[1], rgba[2])
    return surface


@wp.func
def blocked(world: wp.array(dtype=World), start: wp.vec3, direction: wp.vec3, reach: float):
    """Whether anything but holes lies on a ray of unit direction."""
    if world[0].solid != wp.uint64(0):  # noqa: SIM102
        # Nested, since Warp evaluates both sides of an ``and``.
        if wp.mesh_query_ray_anyhit(world[0].solid, start, direction, reach):
            return True
    if world[0].pierced != wp.uint64(0):
        gone = wp.float32(0.0)
        for _ in range(LAYERS):
            found = wp.mesh_query_ray(world[0].pierced, start + direction * gone, direction, reach - gone)
            if not found.result:
                return False
            face = found.face + world[0].solid_faces
            if sample(world, world[0].meshes[face], uv_at(world, face, found.u, found.v), 0)[3] >= 128.0:
                return True
            gone += found.t + STEP
    return False
