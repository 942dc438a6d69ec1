"""Where a point sits in the lattice: its coordinates, its simplex and its barycentric weights.

The permutohedral lattice A*_D of Adams, Baek and Davis (2010) has D + 1 axes u_0 .. u_D that sum to zero. Written in the
basis u_0 .. u_{D-1} its vertices are the integer vectors, u_D is (-1, .., -1), and its simplices are those that split the
unit cubes by the order of the fractional parts. This is the arithmetic of their paper with the detour through D + 1
dependent coordinates taken out; NOTES.md has the proof.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Simplex(NamedTuple):
    """The simplex that encloses each of M points."""

    corner: Tensor  # [D, M] integer valued floats: its first vertex in lattice coordinates
    axes: Tensor  # [D, M] int64: vertex k + 1 is vertex k plus one step along axes[k]
    weights: Tensor  # [M, D + 1] barycentric weights of the vertices, >= 0, sum 1; differentiable


def lattice_coordinates(features: Tensor) -> Tensor:
    """Coordinates [D, M] in the basis u_0 .. u_{D-1} of features [M, D], in units of their standard deviation.

    With g_i = f_i sqrt(2/3) (D+1) / sqrt((i+1)(i+2)) the elevated point is x_0 = sum_k g_k and
    x_j = sum_{k>=j} g_k - j g_{j-1} (Adams et al. 2010, section 3.1); coordinate i is (x_D - x_i) / (D+1). The factor
    makes splat, blur and slice together a Gaussian of standard deviation one (Kraehenbuehl and Koltun 2011).

    Written with element-wise operations on rows: a matrix product may round differently for another number of points,
    and TF32 would move the points.
    """
    dimensions = features.shape[1]
    scaled = [
        feature * (math.sqrt(2 / 3) / math.sqrt((i + 1) * (i + 2))) for i, feature in enumerate(features.unbind(1))
    ]
    last = -dimensions * scaled[-1]
    coordinates = []
    tail = torch.zeros_like(last)
    for i in range(dimensions - 1, -1, -1):
        tail = tail + scaled[i]
        elevated = tail - i * scaled[i - 1] if i > 0 else tail
        coordinates.append(last - elevated)
    return torch.stack(coordinates[::-1])


def enclosing_simplex(coordinates: Tensor) -> Simplex:
    """The simplex around each of the points with lattice coordinates [D, M].

    The fractional parts, here in (0, 1], are sorted in descending order, z_1 >= .. >= z_D; the vertices are the corner of
    the unit cube and the points reached from it by steps along the axes in that order, the weights 1 - z_1, z_1 - z_2,
    .., z_D. Weights are differentiable almost everywhere, with the corner and the order held fixed.

    A point on the border of several simplices has weight 0 at some vertices, but which of them exist decides where the
    blur leads. Ties go to the higher axis and integers to the cube below, as in the released code of Kraehenbuehl and
    Koltun; black pixels at the image border are such points.
    """
    dimensions = coordinates.shape[0]
    corner = coordinates.detach().ceil() - 1
    fractions, flipped = torch.sort((coordinates - corner).flip(0), dim=0, descending=True, stable=True)
    axes = dimensions - 1 - flipped
    one, zero = torch.ones_like(fractions[:1]), torch.zeros_like(fractions[:1])
    weights = torch.cat([one, fractions]) - torch.cat([fractions, zero])
    return Simplex(corner, axes, weights.T.contiguous())
