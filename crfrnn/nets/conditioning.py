"""Scores when some labels are known to be impossible, as when a detector has named the object in a crop."""

import torch
from torch import Tensor

IMPOSSIBLE = -1e4
"""Score of a label that cannot be: its softmax is exactly 0 in float32, while everything stays finite."""


def restrict(unary: Tensor, allowed: Tensor | None) -> Tensor:
    """`unary` [B, L, H, W] with the scores of impossible labels out of the game.

    `allowed`, bool [B, L] (or [L] for all images), says which labels are possible; None leaves everything as it is. Over the
    labels of one class each, this is one head per class on a shared trunk: a head learns from images of its class alone, and
    a background score that all have in common costs nothing, as only differences of scores count.

    Raises ValueError where the number of labels differs.
    """
    if allowed is None:
        return unary
    if allowed.shape[-1] != unary.shape[1]:
        raise ValueError(
            f"allowed speaks of {allowed.shape[-1]} labels, the scores are of {unary.shape[1]}; wanted equal"
        )
    impossible = ~allowed.to(unary.device).reshape(-1, unary.shape[1], 1, 1)
    return torch.where(impossible, unary.new_tensor(IMPOSSIBLE), unary)
