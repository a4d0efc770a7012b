# mypy: ignore-errors
"""Light and the three kernels that make a picture, in NVIDIA Warp's dialect of Python: one thread a pixel.

``see`` casts the ray through each pixel's centre, notes what it meets, the light that would reach it and, by very few
rays, the share of that light which is not blocked. ``smooth`` averages the share over neighbours on the same surface;
that costs less than more rays. ``finish`` multiplies, and casts further rays where an outline passes through a pixel.
"""

from fidip.synthesis.renderers.rays import Surface, World, blocked, first_hit, wp

# Warp's own limit on inlining takes half as long again to compile and gains nothing here.
wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": "-march=native -mllvm=-inline-threshold=2000"})

FAR = wp.constant(1000.0)  # metres
SURFACE_LIFT = wp.constant(5.0e-4)  # metres off a surface at which rays start, so that it does not block itself
SKIN_LIFT = wp.constant(4.0e-3)  # metres that light travels under the skin, so that it passes its own edge
SKIN_WRAP = wp.constant(0.25)  # light reaches a little beyond the terminator of skin
SKIN_GLOSS = wp.constant(0.05)
SKIN_SHININESS = wp.constant(24.0)
BOUNCE = wp.constant(0.35)  # share of the ambient light that occluders send back
PLANE = wp.constant(0.01)  # metres off a pixel's tangent plane at which a neighbour is another surface
ALIKE = wp.constant(0.8)  # least cosine between the normals of one surface
DARKEST = wp.constant(0.02)  # albedo by which gloss is divided at least


@wp.struct
class View:
    """The camera and the number of rays."""

    eye: wp.vec3
    right: wp.vec3  # world vectors of one pixel at depth 1
    down: wp.vec3
    corner: wp.vec3  # ray through the centre of pixel (0, 0) at depth 1
    width: int
    height: int
    focal: float
    samples: int
    shadow_rays: int
    ambient_rays: int
    towards_light: wp.array2d(dtype=wp.vec3)  # of each light, for each pixel of a 4x4 block and each ray
    hemisphere: wp.array(dtype=wp.vec3)  # cosine-weighted about the z axis, likewise


@wp.struct
class Layers:
    """One value a pixel."""

    depth: wp.array(dtype=float)
    part: wp.array(dtype=int)
    mesh: wp.array(dtype=int)
    position: wp.array(dtype=wp.vec3)
    normal: wp.array(dtype=wp.vec3)
    albedo: wp.array(dtype=wp.vec3)
    light: wp.array(dtype=wp.vec3)  # open_light
    share: wp.array(dtype=wp.vec3)  # of that light, not blocked
    smooth_share: wp.array(dtype=wp.vec3)
    background: wp.array(dtype=wp.vec3)
    colour: wp.array(dtype=wp.vec3)


@wp.func
def place_in_block(x: int, y: int):
    """The pixel's number, 0 … 15, in its block of 4x4 pixels, in Bayer's order: neighbours are far apart."""
    return ((x ^ y) & 1) * 8 + (y & 1) * 4 + ((x ^ y) & 2) + ((y & 2) >> 1)


@wp.func
def turn_to(normal: wp.vec3, direction: wp.vec3):
    """A direction about the z axis, turned to lie about a normal."""
    helper = wp.vec3(1.0, 0.0, 0.0)
    if wp.abs(normal[0]) > 0.7:
        helper = wp.vec3(0.0, 1.0, 0.0)
    s = wp.normalize(wp.cross(helper, normal))
    return s * direction[0] + wp.cross(normal, s) * direction[1] + normal * direction[2]


@wp.func
def squared_gap(world: wp.array(dtype=World), i: int, position: wp.vec3):
    """Squared distance from a point to box ``i``; 0 inside."""
    gap = wp.max(world[0].body_low[i] - position, position - world[0].body_high[i])
    return wp.length_sq(wp.max(gap, wp.vec3(0.0, 0.0, 0.0)))


@wp.func
def nearness(world: wp.array(dtype=World), position: wp.vec3):
    """1 in the boxes of the body's parts, falling to 0 at ``reach`` from all of them."""
    reach = world[0].reach
    boxes = world[0].body_low.shape[0]
    if boxes == 0 or squared_gap(world, 0, position) >= reach * reach:
        return 0.0
    nearest = reach * reach
    for i in range(1, boxes):
        nearest = wp.min(nearest, squared_gap(world, i, position))
    return 1.0 - wp.sqrt(nearest) / reach


@wp.func
def sky_light(world: wp.array(dtype=World), surface: Surface):
    """Hemispheric ambient light where nothing blocks it."""
    return world[0].ambient * (0.6 + 0.4 * surface.normal[2])


@wp.func
def lamp_light(world: wp.array(dtype=World), i: int, surface: Surface, ray: wp.vec3):
    """What a surface sends of light ``i`` towards the eye where nothing blocks it, divided by its albedo."""
    direction = world[0].light_directions[i]
    cosine = wp.dot(surface.normal, direction)
    if world[0].skin[world[0].meshes[surface.face]] == 0:
        if wp.dot(surface.flat, direction) <= 0.0:
            return wp.vec3(0.0, 0.0, 0.0)
        return world[0].light_colours[i] * wp.max(cosine, 0.0)
    diffuse = wp.max((cosine + SKIN_WRAP) / (1.0 + SKIN_WRAP), 0.0)
    half = wp.normalize(direction - wp.normalize(ray))
    shine = SKIN_GLOSS * wp.pow(wp.max(wp.dot(surface.normal, half), 0.0), SKIN_SHININESS)
    gloss = wp.vec3(shine, shine, shine) * wp.max(wp.sign(cosine), 0.0)
    darkest = wp.vec3(DARKEST, DARKEST, DARKEST)
    total = wp.vec3(diffuse, diffuse, diffuse) + wp.cw_div(gloss, wp.max(surface.albedo, darkest))
    return wp.cw_mul(world[0].light_colours[i], total)


@wp.func
def open_light(world: wp.array(dtype=World), surface: Surface, ray: wp.vec3):
    """What a surface sends towards the eye where nothing blocks any light, divided by its albedo."""
    total = sky_light(world, surface)
    for i in range(world[0].light_directions.shape[0]):
        total += lamp_light(world, i, surface, ray)
    return total


@wp.func
def open_sky(world: wp.array(dtype=World), view: wp.array(dtype=View), surface: Surface, x: int, y: int):
    """The share of the ambient light that arrives: less where something near blocks it."""
    near = nearness(world, surface.position)
    rays = view[0].ambient_rays
    if near == 0.0 or rays == 0:
        return 1.0
    start = surface.position + surface.flat * SURFACE_LIFT
    stopped = wp.int32(0)
    for i in range(rays):
        direction = turn_to(surface.normal, view[0].hemisphere[place_in_block(x, y) * rays + i])
        if blocked(world, start, direction, world[0].reach):
            stopped += 1
    return 1.0 - (1.0 - BOUNCE) * near * float(stopped) / float(rays)


@wp.func
def open_share(
    world: wp.array(dtype=World), view: wp.array(dtype=View), surface: Surface, ray: wp.vec3, x: int, y: int
):
    """The share of ``open_light`` that is not blocked, in red, green and blue."""
    start = surface.position + surface.flat * SURFACE_LIFT
    if world[0].skin[world[0].meshes[surface.face]] == 1:
        start = surface.position + surface.flat * SKIN_LIFT
    every = sky_light(world, surface)
    arriving = every * open_sky(world, view, surface, x, y)
    rays = view[0].shadow_rays
    for i in range(world[0].light_directions.shape[0]):
        light = lamp_light(world, i, surface, ray)
        if wp.max(light) > 0.0:
            stopped = wp.int32(0)
            for j in range(rays):
                if blocked(world, start, view[0].towards_light[i, place_in_block(x, y) * rays + j], FAR):
                    stopped += 1
            every += light
            arriving += light * (1.0 - float(stopped) / float(rays))
    return wp.cw_div(arriving, wp.max(every, wp.vec3(1.0e-6, 1.0e-6, 1.0e-6)))


@wp.kernel
def see(world: wp.array(dtype=World), view: wp.array(dtype=View), layers: wp.array(dtype=Layers)):
    """Geometry, albedo and light at each pixel's centre."""
    i = wp.tid()
    x = i % view[0].width
    y = i / view[0].width
    ray = view[0].corner + view[0].right * float(x) + view[0].down * float(y)
    surface = first_hit(world, view[0].eye, ray, 1.0 / view[0].focal)
    if surface.face < 0:
        layers[0].depth[i] = 0.0
        layers[0].part[i] = -1
        layers[0].mesh[i] = -1
        layers[0].albedo[i] = layers[0].background[i]
        layers[0].light[i] = wp.vec3(1.0, 1.0, 1.0)
        layers[0].share[i] = wp.vec3(1.0, 1.0, 1.0)
        return
    layers[0].depth[i] = surface.depth
    layers[0].part[i] = world[0].parts[surface.face]
    layers[0].mesh[i] = world[0].meshes[surface.face]
    layers[0].position[i] = surface.position
    layers[0].normal[i] = surface.normal
    layers[0].albedo[i] = surface.albedo
    layers[0].light[i] = open_light(world, surface, ray)
    layers[0].share[i] = open_share(world, view, surface, ray, x, y)


@wp.func
def same_surface(layers: wp.array(dtype=Layers), i: int, mesh: int, position: wp.vec3, normal: wp.vec3):
    """How much pixel ``i`` shows the surface through ``position``: 1 on its tangent plane, 0 at ``PLANE`` off it."""
    if layers[0].mesh[i] != mesh or wp.dot(layers[0].normal[i], normal) < ALIKE:
        return 0.0
    return wp.max(1.0 - wp.abs(wp.dot(layers[0].position[i] - position, normal)) / PLANE, 0.0)


@wp.kernel
def smooth(view: wp.array(dtype=View), layers: wp.array(dtype=Layers)):
    """The mean share of light that arrives at the neighbours on the same surface."""
    i = wp.tid()
    mesh = layers[0].mesh[i]
    if mesh < 0:
        layers[0].smooth_share[i] = layers[0].share[i]
        return
    x = i % view[0].width
    y = i / view[0].width
    total = wp.vec3(0.0, 0.0, 0.0)
    weights = wp.float32(0.0)
    # Five by five, the outer ones by half: unbiased, and every direction of the 4x4 pattern counts the same.
    for row in range(wp.max(y - 2, 0), wp.min(y + 3, view[0].height)):
        for column in range(wp.max(x - 2, 0), wp.min(x + 3, view[0].width)):
            j = row * view[0].width + column
            weight = same_surface(layers, j, mesh, layers[0].position[i], layers[0].normal[i])
            weight *= wp.where(wp.abs(row - y) == 2, 0.5, 1.0) * wp.where(wp.abs(column - x) == 2, 0.5, 1.0)
            total += layers[0].share[j] * weight
            weights += weight
    layers[0].smooth_share[i] = total / wp.max(weights, 1.0e-6)


@wp.func
def on_outline(view: wp.array(dtype=View), layers: wp.array(dtype=Layers), x: int, y: int):
    """Whether one of the four neighbours shows another surface."""
    i = y * view[0].width + x
    for k in range(4):
        column = wp.clamp(x + (k & 1) * (k - 2), 0, view[0].width - 1)
        row = wp.clamp(y + (1 - (k & 1)) * (k - 1), 0, view[0].height - 1)
        j = row * view[0].width + column
        if layers[0].mesh[i] != layers[0].mesh[j]:
            return True
        if layers[0].mesh[i] >= 0:  # noqa: SIM102 - Warp evaluates both sides of an ``and``
            if same_surface(layers, j, layers[0].mesh[i], layers[0].position[i], layers[0].normal[i]) == 0.0:
                return True
    return False


@wp.func
def borrowed_share(
    world: wp.array(dtype=World),
    view: wp.array(dtype=View),
    layers: wp.array(dtype=Layers),
    surface: Surface,
    ray: wp.vec3,
    x: int,
    y: int,
):
    """The smoothed share of the neighbours that show the same surface; if there are none, by rays of its own."""
    total = wp.vec3(0.0, 0.0, 0.0)
    weights = wp.float32(0.0)
    mesh = world[0].meshes[surface.face]
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            row = wp.clamp(y + dy, 0, view[0].height - 1)
            j = row * view[0].width + wp.clamp(x + dx, 0, view[0].width - 1)
            weight = same_surface(layers, j, mesh, surface.position, surface.normal)
            total += layers[0].smooth_share[j] * weight
            weights += weight
    if weights > 0.0:
        return total / weights
    return open_share(world, view, surface, ray, x, y)


@wp.kernel
def finish(world: wp.array(dtype=World), view: wp.array(dtype=View), layers: wp.array(dtype=Layers)):
    """Colour; outlines are cast again with several rays a pixel."""
    i = wp.tid()
    x = i % view[0].width
    y = i / view[0].width
    if view[0].samples < 2 or not on_outline(view, layers, x, y):
        layers[0].colour[i] = wp.cw_mul(wp.cw_mul(layers[0].albedo[i], layers[0].light[i]), layers[0].smooth_share[i])
        return
    total = wp.vec3(0.0, 0.0, 0.0)
    for k in range(view[0].samples):
        # A lattice of rank one: every column and every row of the pixel is met once.
        dx = (float(k) + 0.5) / float(view[0].samples) - 0.5
        turned = (float(k) + 0.5) * 0.618033988749895
        dy = turned - wp.floor(turned) - 0.5
        ray = view[0].corner + view[0].right * (float(x) + dx) + view[0].down * (float(y) + dy)
        surface = first_hit(world, view[0].eye, ray, 1.0 / view[0].focal)
        if surface.face < 0:
            total += layers[0].background[i]
        else:
            share = borrowed_share(world, view, layers, surface, ray, x, y)
            total += wp.cw_mul(wp.cw_mul(surface.albedo, open_light(world, surface, ray)), share)
    layers[0].colour[i] = total / float(view[0].samples)
