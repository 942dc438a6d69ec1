"""Label maps made from boxes (Papandreou et al. 2015, arXiv 1502.02734): Bbox-Rect and Bbox-Seg."""

from collections.abc import Sequence

import torch
from torch import Tensor

from crfrnn.data import VOID, LabeledBox
from crfrnn.presets import BBOX_SEG_CRF, FixedCRF

CERTAIN = 1e-12
"""probability of every other label where one is certain"""


def rect_targets(boxes: Sequence[LabeledBox], height: int, width: int) -> Tensor:
    """Bbox-Rect: every pixel has the label of the smallest box over it, 0 outside of all boxes. -> uint8 [H, W].

    Of boxes of equal area the last wins. Raises ValueError for a box that is not inside the image, or whose label is not in
    0..255.
    """
    labels = torch.zeros(height, width, dtype=torch.uint8)
    for box in _largest_first(boxes, height, width):
        labels[box.region] = box.label
    return labels


def core(box: LabeledBox) -> LabeledBox:
    """The inner part of a box that is likely to be the object: about a fifth of its area.

    Sides shrink by a pixel at both ends (erosion by 3 x 3) until less than a quarter of the area is left. Boxes of less
    than 121 pixels, or with a side of less than 10, are their own core.
    """
    if box.area < 121 or min(box.bottom - box.top, box.right - box.left) < 10:
        return box
    inner = box
    while inner.area >= 0.25 * box.area:
        inner = LabeledBox(box.label, inner.top + 1, inner.left + 1, inner.bottom - 1, inner.right - 1)
    return inner


def seg_probabilities(boxes: Sequence[LabeledBox], height: int, width: int, num_labels: int) -> Tensor:
    """What boxes say of each pixel, before the CRF. -> probabilities, float64 [L, H, W].

    Outside of all boxes background is certain. The core of a box has its label with probability 0.75, the ring around the
    core with 0.5; the rest is background. Over a pixel, boxes are averaged. A box whose core overlaps larger ones is taken
    to occlude them: the t-th such box of an image adds 0.1 t to its label where its core overlaps them. Boxes of void are
    ignored. Raises as `rect_targets`, and ValueError for a label that is not below `num_labels`.
    """
    boxes = [box for box in _largest_first(boxes, height, width) if box.label != VOID]
    beyond = [box for box in boxes if not 0 < box.label < num_labels]
    if beyond:
        raise ValueError(
            f"{beyond[0]} has a label outside of 1..{num_labels - 1}; wanted boxes of these labels, or void"
        )
    total = torch.zeros(num_labels, height, width, dtype=torch.float64)
    bonus = torch.zeros_like(total)
    covering = torch.zeros(height, width, dtype=torch.float64)
    occluders = 0
    for box in boxes:
        inner = core(box)
        overlap = covering[inner.region] > 0
        if overlap.any():
            occluders += 1
            bonus[box.label][inner.region] += 0.1 * occluders * overlap.double()
        inside = torch.zeros_like(covering)
        inside[box.region] = 0.5
        inside[inner.region] = 0.75 - CERTAIN
        total[box.label] += inside
        total[0][box.region] += 1 - inside[box.region]
        covering[box.region] += 1
    total[0][covering == 0] = 1 - CERTAIN
    probabilities = (total / covering.clamp(min=1) + bonus).clamp(min=CERTAIN)
    return probabilities / probabilities.sum(0)


@torch.no_grad()
def seg_targets(image: Tensor, boxes: Sequence[LabeledBox], crf: FixedCRF = BBOX_SEG_CRF) -> Tensor:
    """Bbox-Seg: a dense CRF over `seg_probabilities`. -> uint8 [H, W].

    Where Bbox-Rect has void, void stays.

    Args:
        image: RGB [3, H, W] in 0..255.
        boxes: those of the image.
        crf: its numbers; the published ones by default.

    Raises as `rect_targets` and CRFRNN.
    """
    if not isinstance(image, Tensor):
        raise TypeError(f"image is a {type(image).__name__}; wanted a tensor: torch.as_tensor(image)")
    if image.ndim != 3:
        raise ValueError(f"image has shape {list(image.shape)}; wanted [3, H, W], without a batch")
    height, width = image.shape[1:]
    labels = rect_targets(boxes, height, width)
    known = [box for box in boxes if box.label != VOID]
    present = sorted({0, *(box.label for box in known)})
    if len(present) == 1:
        return labels
    # The CRF is over the labels of the boxes alone: no other label can occur.
    renamed = [box._replace(label=present.index(box.label)) for box in known]
    unary = seg_probabilities(renamed, height, width, len(present)).log().float().to(image.device)
    layer = crf.build(len(present)).to(image.device)
    winners = layer(unary[None], image[None].float())[0].argmax(0).cpu()
    return torch.where(labels == VOID, VOID, torch.tensor(present)[winners]).to(torch.uint8)


def _largest_first(boxes: Sequence[LabeledBox], height: int, width: int) -> list[LabeledBox]:
    for box in boxes:
        if not isinstance(box, LabeledBox):
            raise TypeError(f"one of the boxes is a {type(box).__name__}; wanted a LabeledBox")
        if not 0 <= box.label <= VOID:
            raise ValueError(f"{box} has label {box.label}; wanted one of 0..{VOID}, {VOID} for void")
        if not (0 <= box.top < box.bottom <= height and 0 <= box.left < box.right <= width):
            raise ValueError(
                f"{box} is not inside an image of {height} rows and {width} columns, or is empty; "
                "see crfrnn.data.clipped"
            )
    return sorted(boxes, key=lambda box: -box.area)
