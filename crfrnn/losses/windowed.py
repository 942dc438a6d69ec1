"""The Gated CRF loss: pairs of pixels in a window, summed exactly (Obukhov et al. 2019, arXiv 1906.04651)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from einops import rearrange
from torch import Tensor

from crfrnn._numbers import whole_number
from crfrnn.kernels import Kernel, Kernels
from crfrnn.kernels.build import kernel_features
from crfrnn.kernels.matrices import WindowMatrix
from crfrnn.kernels.normalizers import normalizer
from crfrnn.lattice.checks import check_reach
from crfrnn.losses.inputs import Inputs, checked, checked_mask, ratio
from crfrnn.state import full_precision, to_pixels


def windowed_crf_loss(
    probabilities: Tensor,
    image: Tensor | None,
    kernels: Sequence[Kernel],
    mask: Tensor | None = None,
    radius: int = 5,
    *,
    source: Tensor | None = None,
    features: Mapping[str, Tensor] | None = None,
    bandwidths: Sequence[Tensor] | None = None,
) -> Tensor:
    """sum_ij g_i h_j w_ij sum_k S_ik (1 - S_jk) / sum_i g_i over pixels j of the window around i, j = i left out. A number.

    w_ij = sum_m w_m k_m(i, j), not normalized. g is the mask, the pixels that are to agree with others (the destination
    gate of the paper), and h the `source`, those that they are to agree with. Nothing is approximated within the window;
    the time grows with its area. The released code gives the same value where it has a source mask. Without one it adds
    kernels between the pixels at the border and those of its padding, which no gradient sees.

    Args:
        kernels: Gaussian ones. Those of the paper: appearance_kernel(6, 25.5, 0.9), smoothness_kernel(6, 0.1).
        radius: how many rows and columns the window reaches to either side of a pixel.
        source: [B, H, W], bool or 0..1; the mask where none is given.

    Others as of `dense_crf_loss`. Raises TypeError or ValueError for arguments that make no sense.
    """
    given = checked(probabilities, image, kernels, mask, features, bandwidths)
    radius = whole_number("radius", radius, 1)
    heard = given.mask if source is None else checked_mask("source", source, given.probabilities)
    with full_precision(given.probabilities):
        beliefs = to_pixels(given.probabilities)
        inside, heard = (rearrange(each, "b h w -> b (h w) 1") for each in (given.mask, heard))
        others = windows(given, radius).weighted_sum((1 - beliefs) * heard, given.weights)
        return ratio((beliefs * inside * others).sum(), inside.sum())


def windows(given: Inputs, radius: int) -> Kernels:
    """The kernels within the window around each pixel. Raises ValueError for a kernel over the grid."""
    height, width = given.probabilities.shape[2:]
    matrices = []
    for kernel, thetas in zip(given.kernels, given.bandwidths, strict=True):
        if kernel.neighbors is not None:
            raise ValueError(f"{kernel} looks at neighbors alone and has no window; pass it to dense_crf_loss")
        compared = kernel_features(kernel, thetas, given.guides, given.probabilities)
        check_reach(compared)
        matrices.append(
            WindowMatrix(rearrange(compared, "b (h w) d -> b d h w", h=height), min(radius, max(height, width)))
        )
    return Kernels(matrices, [normalizer(matrix, "none", False) for matrix in matrices])
