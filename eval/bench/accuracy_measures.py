"""How far the lattice is from exact sums over all pairs of pixels, for `eval.bench.accuracy`.

The exact sums and the exact mean field are written out here with dense matrices. They share no code with the lattice.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.lattice import Lattice

THETA_GAMMA = 3.0
WEIGHTS = {"smoothness": 3.0, "appearance": 10.0}
ITERATIONS = 10
TILE_ROWS = 256  # rows of the matrix that are made at a time, to stay within a few megabytes

SETTINGS = ("unary", "thetas", "theta_gamma", "dilate")  # of a row; all else in it are figures
Row = dict[str, Any]


def gaussian_features(image: Tensor, theta_position: float, theta_color: float | None = None) -> Tensor:
    """Features [N, D] of an image [C, H, W]: column and row / theta_position, then colors / theta_color."""
    rows, columns = torch.meshgrid(*(torch.arange(length) for length in image.shape[1:]), indexing="ij")
    parts = [rearrange(torch.stack([columns, rows]), "d h w -> (h w) d") / theta_position]
    if theta_color is not None:
        parts.append(rearrange(image, "c h w -> (h w) c") / theta_color)
    return torch.cat(parts, 1).to(image.dtype)


def exact_kernel(features: Tensor) -> Tensor:
    """The whole matrix K_ij = exp(-|f_i - f_j|^2 / 2), [N, N], for features [N, D]."""
    points = features.shape[0]
    kernel = features.new_zeros(points, points)
    for start in range(0, points, TILE_ROWS):
        tile = kernel[start : start + TILE_ROWS]
        for column in features.T:
            difference = column[start : start + TILE_ROWS, None] - column
            tile.addcmul_(difference, difference, value=-0.5)
        tile.exp_()
    return kernel


def exact_mean_field(unaries: Tensor, kernels: Sequence[Tensor], weights: Sequence[float], iterations: int) -> Tensor:
    """Beliefs [U, N, L] after `iterations` of mean field with Potts penalties and symmetric normalization.

    Args:
        unaries: logits [U, N, L] of U unaries over the same image.
        kernels: Gaussian kernels [N, N], not normalized, with their diagonals.
        weights: of the kernels.
    """
    roots = [kernel.sum(1, keepdim=True).rsqrt() for kernel in kernels]
    beliefs = unaries.softmax(2)
    for _ in range(iterations):
        logits = unaries.clone()
        for kernel, root, weight in zip(kernels, roots, weights, strict=True):
            # One product for all unaries, as most of the time goes into reading the matrix.
            sums = kernel @ rearrange(root * beliefs, "u n l -> n (u l)")
            messages = root * rearrange(sums, "n (u l) -> u n l", u=len(unaries))
            logits -= weight * (messages.sum(2, keepdim=True) - messages)
        beliefs = logits.softmax(2)
    return beliefs


def raw_figures(approximate: Tensor, exact: Tensor) -> tuple[float, float]:
    """Raw scale and raw error: the c that minimizes |approximate - c exact|, and min_s |s approximate - exact| / |exact|.

    The error is the sine of the angle between the two.
    """
    a, e = approximate.double().flatten(), exact.double().flatten()
    # From the difference of unit vectors: 1 - cosine^2 would lose small angles to rounding.
    chord = float((a / a.norm() - e / e.norm()).norm())
    return float(a @ e / (e @ e)), chord * (1 - chord**2 / 4) ** 0.5


def relative_rms(approximate: Tensor, exact: Tensor) -> float:
    """|approximate - exact| / |exact|."""
    return float((approximate - exact).double().norm() / exact.double().norm())


def filter_figures(features: Tensor, kernel: Tensor, values: Tensor, dilate: bool) -> Row:
    """Errors of the lattice of features [N, D] when it filters values [N, C]; `kernel` [N, N] is the exact one."""
    lattice = Lattice.build(features[None], dilate=dilate)
    with_ones = torch.cat([values, torch.ones_like(values[:, :1])], 1)
    approximate, exact = lattice.filter(with_ones[None])[0], kernel @ with_ones
    scale, error = raw_figures(approximate[:, :-1], exact[:, :-1])
    # A pixel that the lattice does not reach would divide by zero; it reaches each pixel at least from itself.
    normalized = [sums[:, :-1] / sums[:, -1:] for sums in (approximate, exact)]
    return {
        "raw scale": scale,
        "raw error": error,
        "normalized error": relative_rms(*normalized),
        "vertices per pixel": lattice.num_vertices / features.shape[0],
    }


def smoothness_rows(image: Tensor, unaries: Mapping[str, Tensor], theta_gammas: Sequence[float]) -> Iterator[Row]:
    """A row for every theta_gamma, unary and `dilate`; image [3, H, W], unaries [L, H, W] by name."""
    for theta in theta_gammas:
        features = gaussian_features(image, theta)
        kernel = exact_kernel(features)
        for (name, unary), dilate in product(unaries.items(), (False, True)):
            beliefs = rearrange(unary.softmax(0), "l h w -> (h w) l")
            row = {"unary": name, "theta_gamma": theta, "dilate": dilate}
            yield row | filter_figures(features, kernel, beliefs, dilate)


def appearance_rows(
    image: Tensor, unaries: Mapping[str, Tensor], thetas: Sequence[tuple[float, float]]
) -> Iterator[Row]:
    """A row for every (theta_alpha, theta_beta), unary and `dilate`, which also compares the labels after mean field.

    Args:
        image: [3, H, W] in 0..255.
        unaries: logits [L, H, W] by name.
        thetas: pairs of bandwidths.
    """
    logits = torch.stack([rearrange(unary, "l h w -> (h w) l") for unary in unaries.values()])
    smoothness = exact_kernel(gaussian_features(image, THETA_GAMMA))
    weights = (WEIGHTS["smoothness"], WEIGHTS["appearance"])
    for alpha, beta in thetas:
        features = gaussian_features(image, alpha, beta)
        kernel = exact_kernel(features)
        exact = exact_mean_field(logits, (smoothness, kernel), weights, ITERATIONS).argmax(2)
        for (name, unary), rows, labels in zip(unaries.items(), logits, exact, strict=True):
            for dilate in (False, True):
                found = lattice_labels(image, unary, (alpha, beta), dilate)
                yield {
                    "unary": name,
                    "thetas": [alpha, beta],
                    "dilate": dilate,
                    **filter_figures(features, kernel, rows.softmax(1), dilate),
                    "equal labels": _share_equal(found, labels),
                    "equal labels of the unary": _share_equal(rows.argmax(1), labels),
                }


def lattice_labels(image: Tensor, unary: Tensor, thetas: tuple[float, float], dilate: bool) -> Tensor:
    """Labels [N] of the layer's mean field for image [3, H, W] and unary [L, H, W]."""
    kernels = [smoothness_kernel(THETA_GAMMA, WEIGHTS["smoothness"]), appearance_kernel(*thetas, WEIGHTS["appearance"])]
    crf = CRFRNN(unary.shape[0], kernels, ITERATIONS, "symmetric", dilate=dilate).requires_grad_(False)
    return rearrange(crf(unary[None], image[None]), "1 l h w -> (h w) l").argmax(1)


def _share_equal(labels: Tensor, others: Tensor) -> float:
    return float((labels == others).double().mean())


def mean_rows(tables: Sequence[Sequence[Row]]) -> list[Row]:
    """Rows of means over images; `tables` holds the rows of every image, with the same settings in the same order."""
    means = []
    for group in zip(*tables, strict=True):
        figures = [name for name in group[0] if name not in SETTINGS]
        means.append(group[0] | {name: sum(row[name] for row in group) / len(group) for name in figures})
    return means
