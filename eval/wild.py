"""Segment the parts of objects anywhere in an image: crop around boxes, at several scales, and merge their scores."""

from collections.abc import Sequence

import torch
from torch import Tensor

from crfrnn.data import Parts
from crfrnn.data.parts import PASCAL_PARTS, PartLabels, Region, cut, region_around
from crfrnn.data.parts.crops import resized
from crfrnn.data.parts.oid import OID_PARTS
from crfrnn.nets import SegmentationModel, restrict
from eval.inputs.boxes import Found

Piece = tuple[Region, Tensor]


def label_space(parts: Parts, classes: Sequence[str]) -> PartLabels:
    """The label space of a checkpoint. Raises ValueError where its label names `classes` are not those of `parts`."""
    for vocabulary, object_first in ((PASCAL_PARTS, False), (OID_PARTS, True)):
        if set(parts.classes) | set(parts.objects) <= set(vocabulary):
            labels = PartLabels(vocabulary, parts.classes, parts.objects, parts.merge, object_first=object_first)
            if labels.names == tuple(classes):
                return labels
    raise ValueError(
        f"the checkpoint has the labels {', '.join(classes)}, which are not the parts of {', '.join(parts.classes)}"
    )


@torch.no_grad()
def segment_boxes(
    model: SegmentationModel,
    image: Tensor,
    boxes: Sequence[Found],
    parts: Parts,
    labels: PartLabels,
    scales: Sequence[float] = (1.0,),
    num_iterations: int | None = None,
) -> Tensor:
    """Beliefs [L, H, W] for an image [3, H, W] in 0..255, float32, on the device of the model.

    A crop around every box is brought to the scale that the model was trained at, times each of `scales`. The scores of
    the crops are averaged at the scale of the training, where the CRF runs, and its beliefs return to their place in the
    image (see `merge`). Outside of all boxes there is background.

    Args:
        model: in evaluation mode.
        num_iterations: T of the CRF; by default its own.

    Raises ValueError for a box outside of the image or of a class the model has no labels for.
    """
    image = image.to(next(model.parameters()).device, torch.float32)
    pieces = [segment_box(model, image, found, parts, labels, scales, num_iterations) for found in boxes]
    return merge(pieces, len(labels.names), image)


def segment_box(
    model: SegmentationModel,
    image: Tensor,
    found: Found,
    parts: Parts,
    labels: PartLabels,
    scales: Sequence[float],
    num_iterations: int | None,
) -> Piece:
    """Beliefs [L, h, w] within the region around one box; arguments as of `segment_boxes`."""
    if found.object_class not in labels.object_classes:
        raise ValueError(
            f"there is a box of the class {found.object_class!r}; the model knows {', '.join(labels.object_classes)}"
        )
    size = (image.shape[1], image.shape[2])
    side = parts.side or found.box.longer_side  # a model of whole images saw objects as they are
    region = region_around(found.box, size, side, parts.margin)
    crops = [cut(image, region_around(found.box, size, side * scale, parts.margin)) for scale in scales]
    scores = torch.stack([resized(model.unary(crop[None])[0], region.size) for crop in crops]).mean(0)
    unary = restrict(scores[None], labels.allowed(found.object_class) if parts.given_class else None)
    beliefs = model.refine(unary, cut(image, region)[None], num_iterations)[0].softmax(0)
    return region, resized(beliefs, (region.bottom - region.top, region.right - region.left))


def merge(pieces: Sequence[Piece], num_labels: int, image: Tensor) -> Tensor:
    """Beliefs of regions as beliefs [L, H, W] of the image [3, H, W] they are of.

    Where regions overlap, a part gets its largest belief among them and the background its smallest, as what is background
    to one box may belong to another; then beliefs are scaled to a sum of 1.
    """
    merged = image.new_zeros(num_labels, *image.shape[1:])
    merged[0] = 1.0
    for region, beliefs in pieces:
        rows, columns = region.window
        window = merged[:, rows, columns]
        window[1:] = torch.maximum(window[1:], beliefs[1:])
        window[0] = torch.minimum(window[0], beliefs[0])
    return merged / merged.sum(0)
