"""Random pictures of textured shapes on textured backgrounds, with exact label maps.

They are easy for a small network, yet hard at stride 8. Every class has its own shape, texture and range of hues, but
backgrounds take any hue, so no threshold on color finds the objects. Arms, teeth, tips and holes are a few pixels wide,
and every object differs in color from what it lies on: a coarse score map loses this detail, and an edge-aware filter can
restore it.
"""

import colorsys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from einops import reduce
from numpy.typing import NDArray

from crfrnn.data.sample import VOID

Floats = NDArray[np.float64]

SUPERSAMPLING = 3  # samples per pixel along each axis, for the soft edges a camera gives
CONTRAST = 90.0  # least RGB distance of an object's color to the colors around it, in gray levels
TEXTURE = 20.0  # amplitude of the textures, in gray levels
NOISE = 4.0  # standard deviation of the pixel noise, in gray levels
TRIES = 30  # for a place, and for a color


class ShapeClass(NamedTuple):
    """`inside` takes coordinates with the object in [-1, 1]; `texture` takes pixels from its center and gives -1..1."""

    name: str
    hue: float
    inside: Callable[[Floats, Floats], NDArray[np.bool_]]
    texture: Callable[[Floats, Floats], Floats]


def _star(u: Floats, v: Floats) -> NDArray[np.bool_]:
    sector = 2 * np.pi / 5
    from_tip = np.abs((np.arctan2(v, u) + sector / 2) % sector - sector / 2)
    radius = np.hypot(u, v)
    x, y = radius * np.cos(from_tip), radius * np.sin(from_tip)
    notch_x, notch_y = 0.38 * np.cos(sector / 2), 0.38 * np.sin(sector / 2)
    # All ten half spikes are folded onto one; its edge runs from the tip (1, 0) to the notch.
    return (notch_x - 1) * y - notch_y * (x - 1) > 0


def _cross(u: Floats, v: Floats) -> NDArray[np.bool_]:
    return (np.minimum(np.abs(u), np.abs(v)) < 0.12) & (np.maximum(np.abs(u), np.abs(v)) < 1)


def _comb(u: Floats, v: Floats) -> NDArray[np.bool_]:
    teeth = ((u + 0.9) / 0.4) % 1 < 0.5
    return (np.abs(u) < 0.9) & (np.abs(v) < 0.8) & (teeth | (v > 0.5))


SHAPES = (
    ShapeClass(
        "disk",
        0.00,
        lambda u, v: np.hypot(u, v) < 0.85,
        lambda x, y: np.tanh(3 * np.sin(x / 1.3) * np.sin(y / 1.3)),
    ),
    ShapeClass(
        "ring",
        0.15,
        lambda u, v: np.abs(np.hypot(u, v) - 0.76) < 0.19,
        lambda x, y: np.sin(12 * np.arctan2(y, x)),
    ),
    ShapeClass("star", 0.35, _star, lambda x, y: np.cos(np.hypot(x, y) / 1.2)),
    ShapeClass("cross", 0.58, _cross, lambda x, y: np.sin((x + y) / 1.1)),
    ShapeClass("comb", 0.82, _comb, lambda x, y: np.tanh(y / 8)),
)


def draw_scene(
    rng: np.random.Generator, size: tuple[int, int], first_label: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one picture: image uint8 [H, W, 3] RGB and labels uint8 [H, W].

    Labels are 0 for the background, 1.. in the order of `SHAPES`, and 255 for a contour one pixel wide around every object.
    The first object has `first_label`, the others are random; at least half of each remains visible.
    """
    canvas, colors = _ground(rng, size)
    labels = np.zeros(size, np.uint8)
    owners = np.zeros(size, np.int64)  # the object that a pixel shows, counted from 1
    areas = visible = np.zeros(1, np.int64)  # pixels of every object; entry 0 is the background, which may vanish
    for label in [first_label, *rng.integers(1, len(SHAPES) + 1, size=rng.integers(1, 4))]:
        shape = SHAPES[label - 1]
        for _ in range(TRIES):
            window, coverage, texture = _place(rng, size, shape)
            inside = coverage >= 0.5
            touched = _dilated(inside) | (coverage > 0)
            left = visible - np.bincount(owners[window][touched], minlength=len(areas))
            if np.all(2 * left[1:] >= areas[1:]):
                break
        else:
            continue  # no room left
        color = _color(rng, shape.hue, colors)
        paint = color + TEXTURE * texture[..., None]
        canvas[window] += coverage[..., None] * (paint - canvas[window])
        labels[window][touched] = VOID
        labels[window][inside] = label
        owners[window][touched] = 0
        owners[window][inside] = len(areas)
        areas, visible = np.append(areas, inside.sum()), np.append(left, inside.sum())
        colors.append(color)
    canvas += rng.normal(0, NOISE, canvas.shape)
    return canvas.round().clip(0, 255).astype(np.uint8), labels


def _ground(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Floats, list[Floats]]:
    """A background between two related muted colors: the picture [H, W, 3] and colors that represent it."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    angle, diagonal = rng.uniform(0, 2 * np.pi), float(np.hypot(*size))
    along = np.cos(angle) * x + np.sin(angle) * y
    kind = rng.integers(3)
    if kind == 0:
        field = _smooth_noise(rng, size, cell=max(size) / rng.uniform(3, 6))
    elif kind == 1:
        field = 0.5 + 0.5 * np.tanh(2 * np.sin(along * (2 * np.pi / rng.uniform(10, 28))))
    else:
        field = (along - along.min()) / diagonal
    field = 0.8 * field + 0.2 * _smooth_noise(rng, size, cell=5)
    first = _rgb(rng.uniform(), rng.uniform(0.1, 0.5), rng.uniform(0.25, 0.9))
    second = (first + rng.uniform(-55, 55, 3)).clip(10, 245)
    return first + field[..., None] * (second - first), [first, (first + second) / 2, second]


def _smooth_noise(rng: np.random.Generator, size: tuple[int, int], cell: float) -> Floats:
    """Random values 0..1 on a grid of the given cell width in pixels, smoothly interpolated to [H, W]."""
    rows, columns = (np.arange(length) / cell for length in size)
    grid = rng.uniform(0, 1, (int(rows[-1]) + 2, int(columns[-1]) + 2))
    i, j = rows.astype(int)[:, None], columns.astype(int)[None, :]
    a, b = ((t % 1) ** 2 * (3 - 2 * (t % 1)) for t in (rows[:, None], columns[None, :]))
    top = grid[i, j] * (1 - b) + grid[i, j + 1] * b
    bottom = grid[i + 1, j] * (1 - b) + grid[i + 1, j + 1] * b
    return top * (1 - a) + bottom * a


def _place(
    rng: np.random.Generator, size: tuple[int, int], shape: ShapeClass
) -> tuple[tuple[slice, slice], Floats, Floats]:
    """A random pose: a window [h, w] around the object, the share of each pixel it covers there, and its texture."""
    radius = rng.uniform(0.2, 0.33) * min(size)
    center_y, center_x = (rng.uniform(0.6 * radius, length - 0.6 * radius) for length in size)
    angle = rng.uniform(0, 2 * np.pi)
    reach = 1.3 * radius + 2  # the corners of a comb, and its contour
    rows = slice(max(0, int(center_y - reach)), min(size[0], int(center_y + reach)))
    columns = slice(max(0, int(center_x - reach)), min(size[1], int(center_x + reach)))

    def object_coordinates(steps: int) -> tuple[Floats, Floats]:
        y = (np.arange(rows.start * steps, rows.stop * steps)[:, None] + 0.5) / steps - center_y
        x = (np.arange(columns.start * steps, columns.stop * steps)[None, :] + 0.5) / steps - center_x
        return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x

    x, y = object_coordinates(SUPERSAMPLING)
    samples = shape.inside(x / radius, y / radius)
    coverage = reduce(samples.astype(np.float64), "(h s) (w t) -> h w", "mean", s=SUPERSAMPLING, t=SUPERSAMPLING)
    return (rows, columns), coverage, shape.texture(*object_coordinates(1))


def _color(rng: np.random.Generator, hue: float, others: list[Floats]) -> Floats:
    """A color near `hue` that is far from all others; the farthest of those tried where none is far enough."""
    best, best_distance = np.zeros(3), -1.0
    for _ in range(TRIES):
        color = _rgb(hue + rng.normal(0, 0.08), rng.uniform(0.5, 0.95), rng.uniform(0.45, 0.95))
        distance = min(float(np.linalg.norm(color - other)) for other in others)
        if distance > best_distance:
            best, best_distance = color, distance
        if distance >= CONTRAST:
            break
    return best


def _rgb(hue: float, saturation: float, value: float) -> Floats:
    return 255 * np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value))


def _dilated(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(mask, 1)
    height, width = mask.shape
    return np.any([padded[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0)
