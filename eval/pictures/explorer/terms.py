"""Mean field on one photograph, taken apart: beliefs, labels, and what every kernel charged every label."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from crfrnn import CRFRNN
from crfrnn.kernels import IMAGE
from eval.scoring.metrics import most_likely

MOST_SHOWN, LEAST_SHOWN = 5, 2
WORTH_SHOWING = 0.003  # of the pixels, in at least one iteration


@dataclass(frozen=True, eq=False)
class Terms:
    """The K labels that are shown, on the CPU; T iterations, M kernels.

    Attributes:
        shown: the numbers of these labels.
        labels: the likeliest of all labels after 0, ..., T iterations, uint8 [T + 1, H, W].
        beliefs: [K, T + 1, H, W].
        unary: [K, H, W].
        penalties: what each kernel takes from the unary in iterations 1, ..., T, [M, K, T, H, W].
        free_energy: per pixel, T + 1 numbers.
    """

    shown: list[int]
    labels: Tensor
    beliefs: Tensor
    unary: Tensor
    penalties: Tensor
    free_energy: list[float]


@torch.no_grad()
def terms_of(crf: CRFRNN, unary: Tensor, photo: Tensor, num_iterations: int, shown: Sequence[int] = ()) -> Terms:
    """Run `crf` and keep all terms of some labels, by default of those that cover the most pixels.

    Args:
        unary: logits [1, L, H, W].
        photo: RGB [1, 3, H, W] in 0..255.

    Raises as `crf.iterate`.
    """
    chosen = list(shown) or covering(crf, unary, photo, num_iterations)
    kernels = crf.build_kernels({IMAGE: photo}, unary)
    compatibility = crf.cell.compatibility[chosen].to(unary)
    height, width = unary.shape[2:]
    labels, shown_beliefs, free_energy = [], [], []
    penalties = torch.zeros(len(crf.kernels), len(chosen), num_iterations, height, width)
    for state in crf.iterate(unary, photo, num_iterations):
        labels.append(most_likely(state.logits))
        shown_beliefs.append(state.beliefs[0, chosen].cpu())
        free_energy.append(float(state.free_energy()[0]) / (height * width))
        if state.iteration == num_iterations:
            break
        beliefs = rearrange(state.beliefs, "b l h w -> b (h w) l").contiguous()
        for m, only in enumerate(torch.eye(len(crf.kernels))):
            messages = kernels.weighted_sum(beliefs, scaled(crf.cell.kernel_weights, only).to(beliefs))[0]
            penalties[m, :, state.iteration] = rearrange(messages @ compatibility.T, "(h w) l -> l h w", h=height)
    return Terms(
        shown=chosen,
        labels=torch.stack(labels),
        beliefs=torch.stack(shown_beliefs, 1),
        unary=unary[0, chosen].cpu(),
        penalties=penalties,
        free_energy=free_energy,
    )


def covering(crf: CRFRNN, unary: Tensor, photo: Tensor, num_iterations: int) -> list[int]:
    """The labels that cover a part of the picture in some iteration, in their order; arguments as of `terms_of`."""
    share, mean = torch.zeros(2, crf.num_labels)
    for state in crf.iterate(unary, photo, num_iterations):
        labels = most_likely(state.logits).flatten().long()
        share = share.maximum(labels.bincount(minlength=crf.num_labels) / labels.numel())
        mean = mean.maximum(state.beliefs[0].mean((1, 2)).cpu())
    order = (share + mean / 1e3).argsort(descending=True)  # where few cover anything, what is believed in
    count = min(max(int((share >= WORTH_SHOWING).sum()), LEAST_SHOWN), MOST_SHOWN)
    return sorted(order[:count].tolist())


@torch.no_grad()
def row_sums(crf: CRFRNN, photo: Tensor) -> Tensor:
    """D_i = sum_j k(i, j) of every kernel as the layer computes it, [M, H, W] on the CPU."""
    raw = CRFRNN.from_settings({**crf.settings(), "normalization": "none"}).to(photo)
    raw.load_state_dict(crf.state_dict())
    kernels = raw.build_kernels({IMAGE: photo}, photo)
    height, width = photo.shape[2:]
    ones = photo.new_ones(1, height * width, 1)
    sums = [kernels.weighted_sum(ones, weight)[0, :, 0] for weight in torch.eye(len(crf.kernels)).to(photo)]
    return rearrange(torch.stack(sums), "m (h w) -> m h w", h=height).cpu()


def scaled(weights: Tensor, factors: Tensor) -> Tensor:
    """Kernel weights [M], [M, L] or [M, L, L], times a number for each kernel."""
    return weights * factors.to(weights).reshape(-1, *[1] * (weights.ndim - 1))
