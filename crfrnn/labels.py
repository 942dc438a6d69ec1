"""Which labels of an image take part in mean field: those that the unary believes in anywhere."""

from __future__ import annotations

import torch
from torch import Tensor


def present_labels(unary: Tensor, min_belief: float) -> Tensor:
    """Whether softmax(unary) reaches `min_belief` at any pixel: logits [B, L, H, W] -> bool [B, L]."""
    return unary.detach().softmax(1).amax((2, 3)) >= min_belief


def hidden_labels(unary: Tensor, min_belief: float) -> Tensor | float:
    """[B, 1, L], -inf at labels that are absent and 0 elsewhere: added to logits [B, N, L] it leaves them no belief."""
    if min_belief == 0:
        return 0.0
    absent = ~present_labels(unary, min_belief)
    return torch.zeros_like(absent, dtype=unary.dtype).masked_fill(absent, -torch.inf)[:, None]
