"""The loss of images whose pixels are labeled: cross-entropy, and losses of overlap beside it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from crfrnn.data import VOID
from crfrnn.losses import lovasz_softmax_loss, soft_jaccard_loss
from train.recipes import Loss


def pixel_loss(logits: Tensor, labels: Tensor, loss: Loss, temperature: Tensor) -> Tensor:
    """The loss summed over the pixels that are not void: that of the overlap of an image counts once for each of them.

    Args:
        logits: [B, L, h, w]. Cross-entropy divides them by `temperature`, a number; the overlap is that of their softmax.
        labels: [B, h, w].
    """
    total = logits.new_zeros(())
    if loss.cross_entropy:
        scores = logits / temperature.to(logits)
        total = total + loss.cross_entropy * F.cross_entropy(scores, labels, ignore_index=VOID, reduction="sum")
    overlaps = ((loss.jaccard, soft_jaccard_loss), (loss.lovasz, lovasz_softmax_loss))
    if not any(weight for weight, _ in overlaps):
        return total
    probabilities = logits.softmax(1)
    for own, truth in zip(probabilities.split(1), labels.split(1), strict=True):
        count = (truth != VOID).sum()
        total = total + count * torch.stack([w * measure(own, truth) for w, measure in overlaps if w]).sum()
    return total
