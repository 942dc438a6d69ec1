"""Which labels touch in the masks of a data set, and label penalties derived from that."""

from collections.abc import Iterable

import torch
from torch import Tensor

from crfrnn.data.sample import VOID


def adjacency(maps: Iterable[Tensor], num_labels: int) -> Tensor:
    """How many pairs of neighboring pixels have two different labels, int64 [L, L], symmetric, zero on the diagonal.

    Args:
        maps: label maps [H, W]; void (255) has no neighbors.
    """
    counts = torch.zeros(num_labels, num_labels, dtype=torch.int64)
    for labels in maps:
        long = labels.long()
        for one, other in ((long[1:], long[:-1]), (long[:, 1:], long[:, :-1])):
            border = (one != other) & (one != VOID) & (other != VOID)
            pairs = num_labels * one[border] + other[border]
            counts += torch.bincount(pairs, minlength=num_labels**2).view(num_labels, num_labels)
    return counts + counts.T


def adjacency_penalties(counts: Tensor, discount: float = 0.5) -> Tensor:
    """Label compatibility [L, L] from `adjacency`: 1 for labels that never touch, lower the more of their border they share.

    mu(l, l') = 1 - discount n(l, l') / min(n(l), n(l')), where n(l) is the border of l with all labels. A discount of 0
    gives Potts; one of 0.5 gives penalties from 0.5 (one label encloses the other) to 1. The diagonal is zero. Raises
    ValueError for a discount outside 0..1.
    """
    if not 0 <= discount <= 1:
        raise ValueError(f"discount is {discount}; wanted 0 (Potts) to 1")
    border = counts.sum(1).float()
    shared = counts / torch.minimum(border[:, None], border[None]).clamp(min=1)
    return (1 - discount * shared).fill_diagonal_(0.0)
