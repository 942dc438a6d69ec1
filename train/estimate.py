"""The E-step inside a training step: targets of images of which not all labels are known."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from crfrnn.data import VOID
from crfrnn.weak import box_labels, em_adapt, em_fixed, mil_peaks
from train.recipes import EStep, Source


def weak_loss(logits: Tensor, labels: Tensor, present: Tensor, seeds: Tensor, source: Source) -> tuple[Tensor, Tensor]:
    """Sum of the cross-entropies of images of one source, and the targets it is over.

    Args:
        logits: [B, L, h, w]; the gradient passes through them, not through the estimate.
        labels: [B, h, w]: all that is known of pixels. Maps of boxes where the source has boxes.
        present: bool [B, L], the labels that occur, where the source knows images as a whole.
        seeds: [B], what the order of labels in EM-Adapt follows from.

    Returns the sum, and the targets [B, h, w], void where there is none.
    """
    step = source.e_step
    if source.annotation == "image" and step.method == "mil":
        peaks = mil_peaks(logits, present)
        return -logits.log_softmax(1)[peaks].sum(), painted(peaks)
    target = labels if source.annotation == "pixels" else estimate(logits, labels, present, seeds, source)
    return F.cross_entropy(logits, target, ignore_index=VOID, reduction="sum"), target


def estimate(logits: Tensor, labels: Tensor, present: Tensor, seeds: Tensor, source: Source) -> Tensor:
    """The labels [B, h, w] that the E-step of a source finds likeliest; arguments as of `weak_loss`."""
    step = source.e_step
    if source.annotation == "boxes":
        inside = box_labels(labels, logits.shape[1])
        found = em_fixed(logits, inside, step.foreground_bias, step.background_bias)
        return found.masked_fill(labels == VOID, VOID)
    if step.method == "em-fixed":
        return em_fixed(logits, present, step.foreground_bias, step.background_bias)
    order = turns(seeds, step, logits.shape[1]).to(logits.device)
    return em_adapt(logits, present, step.foreground_portion, step.background_portion, step.rounds, order)


def turns(seeds: Tensor, step: EStep, num_labels: int) -> Tensor:
    """Random numbers [B, rounds, L] that follow from the seed of each image alone, whatever it shares a batch with."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]
    return torch.stack([torch.rand(step.rounds, num_labels, generator=each) for each in generators])


def painted(peaks: Tensor) -> Tensor:
    """Peaks bool [B, L, h, w] as a label map [B, h, w], void elsewhere, to look at."""
    return torch.where(peaks.any(1), peaks.long().argmax(1), VOID)


def target_count(labels: Tensor, present: Tensor, source: Source) -> int:
    """How many targets the loss of images of one source is a sum over; `labels` as the loss looks at them."""
    if source.annotation != "image":
        return int((labels != VOID).sum())
    return int(present.sum()) if source.e_step.method == "mil" else labels.numel()


QUOTAS = ("background", "a label that is present", "labels that are absent")


def quotas(target: Tensor, present: Tensor) -> Tensor:
    """Sums over images of the shares of the positions that went to labels, and what to divide them by: float64 [2, 3].

    The columns are `QUOTAS`: background, each label present but the background, all absent labels together.
    """
    num_labels = present.shape[1]
    flat = rearrange(target, "b h w -> b (h w)")
    pixels = F.one_hot(flat.clamp(max=num_labels), num_labels + 1)[..., :num_labels].sum(1).double()
    shares = (pixels / pixels.sum(1, keepdim=True).clamp(min=1)).cpu()
    present = present.cpu()
    foreground = present.clone()
    foreground[:, 0] = False
    absent = ~present
    absent[:, 0] = False
    totals = torch.stack([shares[:, 0].sum(), shares[foreground].sum(), shares[absent].sum()])
    return torch.stack([totals, torch.tensor([len(shares), int(foreground.sum()), len(shares)], dtype=torch.float64)])
