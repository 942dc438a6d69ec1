"""Which labels an image is known to hold: what the E-steps get instead of the labels of pixels."""

import torch
from einops import rearrange
from torch import Tensor

from crfrnn._numbers import whole_number
from crfrnn.data import VOID


def annotated_labels(labels: Tensor, num_labels: int) -> Tensor:
    """The labels that occur in each map, except void: integers [B, H, W] -> bool [B, L].

    Background is present only where it occurs, as in the released layer UNIQUE_LABEL (DeepLab, 2015). A map that is all void
    has no label. Raises TypeError or ValueError for maps of another kind, or with a label that is not below `num_labels`.
    """
    num_labels = check_maps(labels, num_labels)
    flat = rearrange(labels.long(), "b h w -> b (h w)")
    present = torch.zeros(len(flat), VOID + 1, dtype=torch.bool, device=labels.device)
    return present.scatter(1, flat, True)[:, :num_labels]


def box_labels(maps: Tensor, num_labels: int) -> Tensor:
    """Where each label may be, given maps of boxes: integers [B, H, W] -> bool [B, L, H, W].

    A label may be inside its boxes, background everywhere. In `maps` a pixel holds the label of the smallest box over it, 0
    outside of all boxes, or void. Raises as `annotated_labels`.
    """
    num_labels = check_maps(maps, num_labels)
    inside = rearrange(maps, "b h w -> b 1 h w") == torch.arange(num_labels, device=maps.device).view(-1, 1, 1)
    inside[:, 0] = True
    return inside


def check_maps(labels: Tensor, num_labels: int) -> int:
    """`num_labels` as an int. Raises where `labels` is not a batch of label maps of 0..num_labels - 1 and void."""
    num_labels = whole_number("num_labels", num_labels, 1, VOID)
    if not isinstance(labels, Tensor):
        raise TypeError(f"the labels are a {type(labels).__name__}; wanted a tensor: torch.as_tensor(labels)")
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(f"got labels of type {labels.dtype}; wanted integers, {VOID} for void")
    if labels.ndim != 3 or labels.numel() == 0:
        raise ValueError(f"got labels of shape {list(labels.shape)}; wanted maps [B, H, W]: labels[None] makes a batch")
    known = labels[labels != VOID]
    if known.numel() and not 0 <= int(known.min()) <= int(known.max()) < num_labels:
        raise ValueError(
            f"got labels {int(known.min())}..{int(known.max())}, but there are scores for 0..{num_labels - 1} only; "
            "wanted annotations over the labels of the network"
        )
    return num_labels
