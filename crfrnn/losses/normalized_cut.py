"""The normalized cut as a loss (Tang et al. 2018, CVPR; the criterion of Shi & Malik 2000)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor

from crfrnn.kernels import Kernel
from crfrnn.losses.inputs import checked
from crfrnn.state import full_precision, to_pixels


def normalized_cut_loss(
    probabilities: Tensor,
    image: Tensor | None,
    kernels: Sequence[Kernel],
    mask: Tensor | None = None,
    *,
    features: Mapping[str, Tensor] | None = None,
    bandwidths: Sequence[Tensor] | None = None,
    filter: Literal["lattice", "exact"] = "lattice",
) -> Tensor:
    """sum_k S_k^T W (1 - S_k) / S_k^T W 1, averaged over images: from 0 to L - 1. A number.

    Each label is charged for the share of its ties that lead to other labels, so that, unlike with `dense_crf_loss`, one
    label for the whole image costs as much as any bad cut: a label that no pixel has costs 1. W = sum_m w_m K_m of kernels
    that are not normalized, in the symmetric form (K + K^T) / 2, as the blur of the lattice is not symmetric where
    vertices are missing; weights are at least 0. An image that lies outside of the mask adds 0.

    Arguments as of `dense_crf_loss`; pixels outside of the mask have no gradient and no influence. Raises TypeError or
    ValueError for arguments that make no sense.
    """
    given = checked(probabilities, image, kernels, mask, features, bandwidths)
    negative = [kernel for kernel in kernels if kernel.weight < 0]
    if negative:
        raise ValueError(f"{negative[0]} has a negative weight, with which shares make no sense; wanted at least 0")
    with full_precision(given.probabilities):
        pairs = given.build("none", filter)
        inside = rearrange(given.mask, "b h w -> b (h w) 1")
        beliefs = to_pixels(given.probabilities) * inside
        heard = pairs.weighted_sum(torch.cat([beliefs, inside], -1), given.weights)
        own = (beliefs * heard[..., :-1]).sum(1)
        # Of S^T (K + K^T) 1 / 2, the half of K^T is the sum of K S over the pixels.
        ties = (beliefs * heard[..., -1:] + inside * heard[..., :-1]).sum(1) / 2
        shares = own / ties.clamp(min=torch.finfo(ties.dtype).tiny)
        return ((1 - shares).sum(1) * (inside > 0).any(1)[:, 0]).mean()
