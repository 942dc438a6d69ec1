"""The dense CRF loss: what the pair term of the CRF costs, as a loss (Tang et al. 2018, arXiv 1803.09569)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from einops import rearrange
from torch import Tensor

from crfrnn.kernels import Kernel, Normalization
from crfrnn.losses.inputs import checked, ratio
from crfrnn.state import full_precision, to_pixels


def dense_crf_loss(
    probabilities: Tensor,
    image: Tensor | None,
    kernels: Sequence[Kernel],
    mask: Tensor | None = None,
    normalization: Normalization = "symmetric",
    *,
    features: Mapping[str, Tensor] | None = None,
    bandwidths: Sequence[Tensor] | None = None,
    filter: Literal["lattice", "exact"] = "lattice",
) -> Tensor:
    """sum_k S_k^T W (1 - S_k), divided by the number of pixels: how often like pixels are told apart. A number.

    S_k are the probabilities of label k, 0 where the mask is, W = sum_m w_m K_m over the kernels. The loss is at least 0
    where the weights are, and 0 where all pixels that resemble each other have one label for certain, so also where the
    whole image has: it is an addition to a loss that knows some labels. With the normalization "symmetric" the rows of K_m
    sum to about 1, and the loss is at most about the sum of the weights, whatever the size of the image; with "none" it
    grows with the number of pixels alike, see `rloss`.

    W need not be symmetric: the blur of the lattice is not where vertices are missing, nor are the normalizations "before"
    and "after". The loss is that of (W + W^T) / 2 all the same, as probabilities sum to 1, and so is its gradient to the
    scores that a softmax made the probabilities of.

    Args:
        probabilities: S [B, L, H, W], the softmax of logits.
        image: [B, C, H, W], raw 0..255, the same size; None where no kernel looks at it.
        kernels: of any kind, with their weights w_m.
        mask: [B, H, W], bool or 0..1: which pixels count. Pixels outside have no gradient, and no influence but that on
            the normalization.
        normalization: of every kernel, see `CRFRNN`.
        features: what `feature_kernel`s look at, [B, D, H, W] by name.
        bandwidths: in place of those of the kernels, a tensor for each: of positions first, then of the guide. Gradients
            flow to them, as to image and features that require grad.
        filter: "lattice", or "exact", the sum over all pairs of pixels, for small images.

    Raises TypeError or ValueError for arguments that make no sense.
    """
    given = checked(probabilities, image, kernels, mask, features, bandwidths)
    with full_precision(given.probabilities):
        pairs = given.build(normalization, filter)
        beliefs, inside = to_pixels(given.probabilities), rearrange(given.mask, "b h w -> b (h w) 1")
        others = pairs.weighted_sum((1 - beliefs) * inside, given.weights)
        return ratio((beliefs * inside * others).sum(), inside.sum())
