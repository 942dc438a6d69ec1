"""What a kernel of the pair term compares: positions, colors, features of the caller's, or neighbors on the grid.

A kernel compares positions p (pixels), a guide g (the image in gray levels, or features of the caller's), or both:

    k(i, j) = exp(-|p_i - p_j|^2 / (2 theta_position^2) - |g_i - g_j|^2 / (2 theta_guide^2)),

with theta_position = theta_alpha or theta_gamma and theta_guide = theta_beta in Kraehenbuehl & Koltun 2011, eq. 3. Either
theta may be a tuple: one for each spatial axis, one for each channel. The kernel of a grid CRF compares neighboring pixels
alone; `GridMatrix` in matrices.py has its equation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

IMAGE = "image"
GRID_NEIGHBORS = {2: 1, 4: 2, 8: 2, 6: 3, 26: 3}
"""how many neighbors a pixel of a grid has, and of how many axes that grid is"""

Theta = float | list[float] | tuple[float, ...]


@dataclass(frozen=True)
class Kernel:
    """One kernel; made by `smoothness_kernel`, `appearance_kernel`, `feature_kernel` and `grid_kernel`.

    `guide` is what it looks at beside positions: None, "image", or the name of features handed over with the image. A tuple
    of thetas has one for each spatial axis of the image, in their order, or one for each channel of the guide.
    `neighbors` is None for a Gaussian between all pixels; on a grid 2 along one axis, 4 or 8 in a plane, 6 or 26 in space.
    """

    weight: float
    theta_position: float | tuple[float, ...] | None = None
    theta_guide: float | tuple[float, ...] | None = None
    guide: str | None = None
    neighbors: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.weight, Real) or not math.isfinite(self.weight):
            raise ValueError(f"the weight of a kernel is {self.weight!r}; wanted a finite number")
        for name in ("theta_position", "theta_guide"):
            theta = getattr(self, name)
            if isinstance(theta, list | tuple):  # settings that were saved hold lists
                object.__setattr__(self, name, tuple(theta))
            if theta is not None and not (_thetas(theta) and all(map(_is_bandwidth, _thetas(theta)))):
                raise ValueError(
                    f"{name} (a bandwidth) is {theta}; wanted a positive finite number of pixels or gray levels, or a tuple "
                    f"with one for each {'spatial axis' if name == 'theta_position' else 'channel'}"
                )
        if self.theta_position is None and self.theta_guide is None:
            raise ValueError("a kernel without any bandwidth; wanted theta_position, theta_guide or both")
        if (self.guide is None) != (self.theta_guide is None):
            raise ValueError(f"guide is {self.guide!r} and theta_guide {self.theta_guide}; wanted both or none of them")
        if self.neighbors is None:
            return
        if not isinstance(self.neighbors, Integral) or self.neighbors not in GRID_NEIGHBORS:
            raise ValueError(
                f"neighbors is {self.neighbors!r}; a pixel of an image has 4, or 8 with the diagonal ones, a voxel 6 or 26, "
                "a sample of a signal 2"
            )
        if self.guide is None or self.theta_position is not None:
            raise ValueError("a grid kernel compares the colors of neighbors; wanted theta_guide and no theta_position")

    def __str__(self) -> str:
        thetas = {"theta_position": self.theta_position, "theta_guide": self.theta_guide}
        parts = [f"{name}={'/'.join(f'{t:g}' for t in _thetas(theta))}" for name, theta in thetas.items() if theta]
        grid = "" if self.neighbors is None else f"{self.neighbors} neighbors, "
        return (
            f"Kernel({grid}{f'guide={self.guide!r}, ' if self.guide else ''}{', '.join(parts)}, weight={self.weight:g})"
        )

    @property
    def num_position_bandwidths(self) -> int:
        """How many of `bandwidths` are of positions: none, one for all axes, or one for each."""
        return len(_thetas(self.theta_position))

    @property
    def bandwidths(self) -> tuple[float, ...]:
        """The bandwidths in use: of positions first, then of the guide."""
        return (*_thetas(self.theta_position), *_thetas(self.theta_guide))


def _thetas(theta: Theta | None) -> tuple[float, ...]:
    if theta is None:
        return ()
    return tuple(theta) if isinstance(theta, list | tuple) else (theta,)


def _is_bandwidth(theta: object) -> bool:
    return isinstance(theta, Real) and 0 < float(theta) < math.inf


def _as_float(theta: Any) -> Any:
    """A number as a float, and so those of a tuple; what is neither stays, for `Kernel` to refuse."""
    if isinstance(theta, list | tuple):
        return tuple(map(_as_float, theta))
    return theta if getattr(theta, "ndim", 0) else float(theta)


def smoothness_kernel(theta_gamma: Theta = 3.0, weight: float = 3.0) -> Kernel:
    """exp(-|p_i - p_j|^2 / (2 theta_gamma^2)): removes small isolated regions.

    theta_gamma in pixels (or what the `spacing` of a call is in), one number or one for each axis.
    """
    return Kernel(weight, theta_position=_as_float(theta_gamma))


def appearance_kernel(theta_alpha: Theta = 160.0, theta_beta: Theta = 3.0, weight: float = 5.0) -> Kernel:
    """Near pixels of similar color tend to share a label: theta_alpha in pixels, theta_beta in gray levels of 0..255.

    Takes images of any number of channels. theta_alpha may have a number for each axis, theta_beta one for each channel.
    """
    return Kernel(weight, theta_position=_as_float(theta_alpha), theta_guide=_as_float(theta_beta), guide=IMAGE)


def feature_kernel(name: str, theta: Theta, weight: float, theta_position: Theta | None = None) -> Kernel:
    """A kernel over features [B, D, *space] of the caller's (depth, embeddings, ...), handed over as `features={name: ...}`.

    `theta` is in the units of the features, one number or one for each of the D. With `theta_position` (pixels) distant
    pixels are told apart, too. Points that lie on no grid have their coordinates among the features.
    """
    if name == IMAGE:
        raise ValueError(
            f"{IMAGE!r} names the image itself; wanted another name for the features, or appearance_kernel"
        )
    positions = None if theta_position is None else _as_float(theta_position)
    return Kernel(weight, theta_position=positions, theta_guide=_as_float(theta), guide=name)


def grid_kernel(neighbors: Literal[2, 4, 8, 6, 26] = 8, theta_beta: Theta = 10.0, weight: float = 3.0) -> Kernel:
    """exp(-|I_i - I_j|^2 / (2 theta_beta^2)) / |p_i - p_j| between neighbors: a contrast-sensitive grid CRF.

    A pixel of an image has 4 neighbors, or 8 with the diagonal ones, a voxel of a volume 6 or 26, a sample of a signal 2; it
    is no neighbor of its own. theta_beta in gray levels of 0..255; a very large one makes every edge of the grid cost the
    same. For the energy of a grid CRF, every edge counted with its weight, take normalization="none".
    """
    return Kernel(weight, theta_guide=_as_float(theta_beta), guide=IMAGE, neighbors=neighbors)
