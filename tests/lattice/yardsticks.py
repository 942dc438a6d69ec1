"""What the tests measure against: the exact Gaussian, the lattice of the paper one point at a time, and a likeness of a
photo.
"""

import itertools
import math

import torch
from torch import Tensor


def dense_gaussian(features: Tensor) -> Tensor:
    """exp(-|f_i - f_j|^2 / 2): features [..., N, D] -> [..., N, N]."""
    return (-(features[..., :, None, :] - features[..., None, :, :]).square().sum(-1) / 2).exp()


def dense_lattice(features: Tensor, dilate: bool = False, side_weights: Tensor | None = None) -> Tensor:
    """K [N, N] of the permutohedral lattice over features [N, D], as Adams et al. (2010) and the code of Kraehenbuehl and
    Koltun (2011) write it: in D + 1 dependent coordinates, point by point, with the vertices in a dictionary. The blur is
    h, 1, h along each axis, with the side weights h [D + 1], differentiable; by default 1/2.
    """
    count, dim = features.shape
    vertices: dict[tuple[int, ...], int] = {}
    pairs = []
    for i, point in enumerate(features.double().tolist()):
        scaled = [f * math.sqrt(2 / 3) * (dim + 1) / math.sqrt((k + 1) * (k + 2)) for k, f in enumerate(point)]
        elevated = [sum(scaled[j:]) - (j * scaled[j - 1] if j else 0) for j in range(dim + 1)]
        nearest = [(dim + 1) * math.floor(x / (dim + 1) + 0.5) for x in elevated]
        excess = sum(nearest) // (dim + 1)
        offset = [x - y for x, y in zip(elevated, nearest, strict=True)]
        rank = [excess + sum((-y, k) < (-x, j) for k, y in enumerate(offset)) for j, x in enumerate(offset)]
        for j in range(dim + 1):
            turn = (rank[j] < 0) - (rank[j] > dim)
            rank[j] += turn * (dim + 1)
            nearest[j] += turn * (dim + 1)
        weights = [0.0] * (dim + 2)
        for j in range(dim + 1):
            weights[dim - rank[j]] += (elevated[j] - nearest[j]) / (dim + 1)
            weights[dim - rank[j] + 1] -= (elevated[j] - nearest[j]) / (dim + 1)
        weights[0] += 1 + weights[dim + 1]
        for r in range(dim + 1):
            key = tuple(x + r - (dim + 1) * (rank[j] > dim - r) for j, x in enumerate(nearest))
            pairs.append((vertices.setdefault(key, len(vertices)), i, weights[r]))

    def neighbor(key: tuple[int, ...], axis: int, sign: int) -> tuple[int, ...]:
        return tuple(x + sign * (1 - (dim + 1) * (j == axis)) for j, x in enumerate(key))

    if dilate:
        for key, axis, sign in itertools.product(list(vertices), range(dim + 1), (1, -1)):
            vertices.setdefault(neighbor(key, axis, sign), len(vertices))
    splat = torch.zeros(len(vertices), count, dtype=torch.float64)
    for vertex, i, weight in pairs:
        splat[vertex, i] += weight
    blurred = splat
    for axis in range(dim + 1):
        steps = torch.zeros(len(vertices), len(vertices), dtype=torch.float64)
        for (key, vertex), sign in itertools.product(vertices.items(), (1, -1)):
            if neighbor(key, axis, sign) in vertices:
                steps[vertex, vertices[neighbor(key, axis, sign)]] += 1
        blurred = blurred + (0.5 if side_weights is None else side_weights[axis]) * (steps @ blurred)
    return splat.T @ blurred / (1 + 2.0**-dim)


def photo_features(height: int, width: int, position: float, color: float) -> Tensor:
    """Features [1, N, 5] of shaded discs with noise on a shaded ground, positions and colors over their bandwidths."""
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    image = 90 + torch.stack([x, y, x + y], -1) * (60 / width)
    for _ in range(6):
        center, radius = torch.rand(2) * torch.tensor([height, width]), 3 + torch.rand(()) * height / 4
        disc = (y - center[0]) ** 2 + (x - center[1]) ** 2 < radius**2
        image[disc] = 200 * torch.rand(3).double() + image[disc] * 0.2
    image = (image + 4 * torch.randn(height, width, 3)).clamp(0, 255).round()
    return torch.cat([torch.stack([x, y], -1) / position, image / color], -1).reshape(1, -1, 5)


def relative_rms(out: Tensor, wanted: Tensor) -> float:
    return ((out - wanted).norm() / wanted.norm()).item()
