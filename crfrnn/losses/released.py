"""Losses of released codes, number by number: rloss (meng-tang/rloss), and its gated form in RRM, AFA and ToCo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from crfrnn._numbers import real_number
from crfrnn.kernels import IMAGE, appearance_kernel
from crfrnn.losses.inputs import VOID, Inputs, check_labels, checked
from crfrnn.state import full_precision, to_pixels


def rloss(
    probabilities: Tensor,
    image: Tensor,
    theta_alpha: float = 80.0,
    theta_beta: float = 15.0,
    scale: float = 1.0,
    mask: Tensor | None = None,
    filter: Literal["lattice", "exact"] = "lattice",
) -> Tensor:
    """-(1 / B) sum_k S_k^T K S_k, summed over B images: the loss of meng-tang/rloss before its weight. A number below 0.

    K is the appearance kernel, not normalized, with the message of a pixel to itself. Theirs are sigma_xy = `theta_alpha`,
    80 or 100 pixels of the image before it is scaled; sigma_rgb = `theta_beta`, 15 gray levels; scale_factor = `scale`, 1 or
    0.5; and a weight of 1.5e-9 to 1e-8, in descendants 1e-7. On N pixels after scaling, all in the mask, the loss is

        N dense_crf_loss(..., normalization="none") - a constant.

    So a weight of 1e-7 is one of 1e-7 N there. As the rows of K sum to about a thousand in a photograph at half size, and
    to four thousand at full size, it is about one of 1 to 4 with the normalization "symmetric".

    With filter="lattice" K is the raw permutohedral filter, with the constants of theirs, and values are equal to rounding;
    with "exact" K is the Gaussian itself, and values are up to twice as large. The gradient is the derivative,
    -(K + K^T) S / B. Theirs is -2 K S / B: the same with "exact", as K is symmetric then; on the lattice it differs where
    vertices are missing, by 1 to 2 % of its norm in photographs.

    Args:
        probabilities: S [B, L, H, W], the softmax of logits; brought to `scale` bilinearly.
        image: [B, C, H, W], raw 0..255, the same size; brought to `scale` by nearest pixels.
        mask: [B, H, W], bool or 0..1, which pixels count: theirs is 0 in padding. By nearest pixels, too.

    Raises TypeError or ValueError for arguments that make no sense.
    """
    given, _ = scaled(probabilities, image, theta_alpha, theta_beta, scale, mask)
    with full_precision(given.probabilities):
        beliefs = masked(given)
        return -(beliefs * messages(given, filter)(beliefs)).sum() / len(beliefs)


def energy_gated_loss(
    probabilities: Tensor,
    image: Tensor,
    labels: Tensor,
    theta_alpha: float = 100.0,
    theta_beta: float = 15.0,
    scale: float = 0.5,
    mask: Tensor | None = None,
    filter: Literal["lattice", "exact"] = "lattice",
) -> Tensor:
    """-(1 / B) sum_k S_k^T G K S_k: `rloss` for pixels that are not sure, as in RRM, AFA and ToCo. A number of at most 0.

    The gate G_i is max(0, mask_i - max_k S_ik) at pixels with a pseudo label, and 1 where `labels` [B, H, W] are 255. Value
    and gradient are those of the released codes before the weight (1e-7). Their gradient is -2 G K S / B: neither the gate
    nor the messages K S that pixels get have one. It is no derivative of the value where the gate varies.

    Other arguments as of `rloss`. Raises TypeError or ValueError for arguments that make no sense.
    """
    given, resized = scaled(probabilities, image, theta_alpha, theta_beta, scale, mask)
    check_labels(labels, probabilities, VOID)
    with full_precision(given.probabilities):
        beliefs = masked(given)
        with torch.no_grad():
            gate = (given.mask - given.probabilities.amax(1)).clamp(min=0)
            gate = gate.masked_fill(resized(labels[:, None].to(gate))[:, 0] == VOID, 1)
            gated = rearrange(gate, "b h w -> b (h w) 1") * messages(given, filter)(beliefs)
        return -((2 * beliefs - beliefs.detach()) * gated).sum() / len(beliefs)


def scaled(
    probabilities: Tensor, image: Tensor, theta_alpha: float, theta_beta: float, scale: float, mask: Tensor | None
) -> tuple[Inputs, Callable[[Tensor], Tensor]]:
    """The arguments at `scale`, and what brings maps [B, C, H, W] there by nearest pixels."""
    kernel = appearance_kernel(
        real_number("theta_alpha", theta_alpha), real_number("theta_beta", theta_beta), weight=1.0
    )
    given = checked(probabilities, image, [kernel], mask)
    scale = real_number("scale", scale)
    height, width = given.probabilities.shape[2:]
    size = [int(side * scale) if 0 < scale <= 1 else 0 for side in (height, width)]
    if 0 in size:
        raise ValueError(f"scale is {scale} for {width} x {height} pixels; wanted a number in 0..1 that leaves some")

    def resized(maps: Tensor) -> Tensor:
        return maps if scale == 1 else F.interpolate(maps, size)

    smaller = given.probabilities
    if scale != 1:
        smaller = F.interpolate(smaller, size, mode="bilinear", align_corners=False)
    thetas = smaller.new_tensor([theta_alpha * scale, theta_beta])
    guides = {IMAGE: resized(given.guides[IMAGE])}
    return Inputs(smaller, guides, [kernel], [thetas], resized(given.mask[:, None])[:, 0]), resized


def masked(given: Inputs) -> Tensor:
    """S [B, N, L], 0 where the mask is."""
    return to_pixels(given.probabilities * given.mask[:, None])


def messages(given: Inputs, filter: str) -> Callable[[Tensor], Tensor]:
    """K, which takes beliefs [B, N, L]."""
    pairs = given.build("none", filter)
    return lambda beliefs: pairs.weighted_sum(beliefs, given.weights)
