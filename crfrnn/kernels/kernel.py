"""What a kernel of the pair term compares: positions, colors, features of the caller's, or neighbors on the grid.

A kernel compares positions p (pixels), a guide g (the image in gray levels, or features of the caller's), or both:

    k(i, j) = exp(-|p_i - p_j|^2 / (2 theta_position^2) - |g_i - g_j|^2 / (2 theta_guide^2)),

with theta_position = theta_alpha or theta_gamma and theta_guide = theta_beta in Kraehenbuehl & Koltun 2011, eq. 3. The
kernel of a grid CRF compares neighboring pixels alone; `GridMatrix` in matrices.py has its equation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal

IMAGE = "image"
GRID_NEIGHBORS = (4, 8)


@dataclass(frozen=True)
class Kernel:
    """One kernel; made by `smoothness_kernel`, `appearance_kernel`, `feature_kernel` and `grid_kernel`.

    `guide` is what it looks at beside positions: None, "image", or the name of features handed over with the image.
    `neighbors` is None for a Gaussian between all pixels, 4 or 8 for a grid.
    """

    weight: float
    theta_position: float | None = None
    theta_guide: float | None = None
    guide: str | None = None
    neighbors: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.weight, Real) or not math.isfinite(self.weight):
            raise ValueError(f"the weight of a kernel is {self.weight!r}; wanted a finite number")
        for name in ("theta_position", "theta_guide"):
            theta = getattr(self, name)
            if theta is not None and not (isinstance(theta, Real) and 0 < theta < math.inf):
                raise ValueError(
                    f"{name} (a bandwidth) is {theta}; wanted a positive finite number of pixels or gray levels"
                )
        if self.theta_position is None and self.theta_guide is None:
            raise ValueError("a kernel without any bandwidth; wanted theta_position, theta_guide or both")
        if (self.guide is None) != (self.theta_guide is None):
            raise ValueError(f"guide is {self.guide!r} and theta_guide {self.theta_guide}; wanted both or none of them")
        if self.neighbors is None:
            return
        if not isinstance(self.neighbors, Integral) or self.neighbors not in GRID_NEIGHBORS:
            raise ValueError(f"neighbors is {self.neighbors!r}; a pixel of the grid has 4, or 8 with the diagonal ones")
        if self.guide is None or self.theta_position is not None:
            raise ValueError("a grid kernel compares the colors of neighbors; wanted theta_guide and no theta_position")

    def __str__(self) -> str:
        thetas = {"theta_position": self.theta_position, "theta_guide": self.theta_guide}
        parts = [f"{name}={theta:g}" for name, theta in thetas.items() if theta is not None]
        grid = "" if self.neighbors is None else f"{self.neighbors} neighbors, "
        return (
            f"Kernel({grid}{f'guide={self.guide!r}, ' if self.guide else ''}{', '.join(parts)}, weight={self.weight:g})"
        )

    @property
    def bandwidths(self) -> tuple[float, ...]:
        """The bandwidths in use: of positions first, then of the guide."""
        return tuple(theta for theta in (self.theta_position, self.theta_guide) if theta is not None)


def smoothness_kernel(theta_gamma: float = 3.0, weight: float = 3.0) -> Kernel:
    """exp(-|p_i - p_j|^2 / (2 theta_gamma^2)): removes small isolated regions. theta_gamma in pixels."""
    return Kernel(weight, theta_position=float(theta_gamma))


def appearance_kernel(theta_alpha: float = 160.0, theta_beta: float = 3.0, weight: float = 5.0) -> Kernel:
    """Near pixels of similar color tend to share a label: theta_alpha in pixels, theta_beta in gray levels of 0..255.

    Takes images of any number of channels.
    """
    return Kernel(weight, theta_position=float(theta_alpha), theta_guide=float(theta_beta), guide=IMAGE)


def feature_kernel(name: str, theta: float, weight: float, theta_position: float | None = None) -> Kernel:
    """A kernel over features [B, D, H, W] of the caller's (depth, embeddings, ...), handed over as `features={name: ...}`.

    `theta` is in the units of the features. With `theta_position` (pixels) distant pixels are told apart, too.
    """
    if name == IMAGE:
        raise ValueError(
            f"{IMAGE!r} names the image itself; wanted another name for the features, or appearance_kernel"
        )
    return Kernel(weight, theta_position=theta_position, theta_guide=float(theta), guide=name)


def grid_kernel(neighbors: Literal[4, 8] = 8, theta_beta: float = 10.0, weight: float = 3.0) -> Kernel:
    """exp(-|I_i - I_j|^2 / (2 theta_beta^2)) / |p_i - p_j| between the 4 or 8 nearest pixels: a contrast-sensitive grid CRF.

    theta_beta in gray levels of 0..255; a very large one makes every edge of the grid cost the same. A pixel is no neighbor
    of its own. For the energy of a grid CRF, every edge counted with its weight, take normalization="none".
    """
    return Kernel(weight, theta_guide=float(theta_beta), guide=IMAGE, neighbors=neighbors)
