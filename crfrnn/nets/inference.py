"""Inference on images of any size: small ones padded to the size a network was tested at, large ones in tiles."""

import torch
from torch import Tensor

from crfrnn.nets.assembly import Network, SegmentationModel
from crfrnn.nets.receptive_field import receptive_field

IMPOSSIBLE = -1e4
"""Score of an impossible label: its softmax is exactly 0 in float32, while everything stays finite."""


@torch.no_grad()
def infer(
    model: SegmentationModel,
    image: torch.Tensor,
    num_iterations: int | None = None,
    *,
    canvas: int = 0,
    tile: int = 1024,
) -> torch.Tensor:
    """Logits [B, L, H, W] of raw RGB images [B, 3, H, W] in 0..255, any H and W, with bounded memory for the network.

    The network runs tile by tile, with a margin as wide as it sees, so that tiling changes nothing; the CRF runs once on
    the whole image. Meanwhile the model is in evaluation mode.

    Args:
        num_iterations: T of the CRF; None takes its own.
        canvas: sides that are shorter are padded to this length with the mean color, at the bottom and the right, and the
            network sees the padding. The released DeepLab networks were tested at 513 (`deeplab`: 514).
        tile: side, in pixels of the network's input, of what is computed at once, without its margin. Networks whose scores
            depend on the whole image (`deeplabv3-mobilenetv2`), and those of your own, take it as a whole.

    Raises as `model(image)`, and ValueError for a canvas below 0, one for a model that brings images to an `input_side`, or
    a tile that is smaller than one step of the network.
    """
    if canvas < 0:
        raise ValueError(f"canvas is {canvas}; wanted a length in pixels, or 0 for none")
    if canvas and model.input_side is not None:
        raise ValueError(
            f"canvas is {canvas}, but this model brings images to a side of {model.input_side} by itself; leave it out"
        )
    was_training = model.training
    model.eval()
    try:
        return model.refine(tiled_unary(model, image, canvas, tile), image, num_iterations)
    finally:
        model.train(was_training)


def restrict(unary: Tensor, allowed: Tensor | None) -> Tensor:
    """`unary` [B, L, H, W] with the scores of impossible labels replaced by IMPOSSIBLE.

    `allowed`, bool [B, L] (or [L] for all images), says which labels are possible; None leaves everything as it is.
    A detector that has named the object in a crop makes such a mask. Where each class has labels of its own, the result is
    one head per class on a shared trunk: a head learns only from images of its class. Sharing the background score costs
    nothing, as only differences of scores count.

    Raises ValueError where the number of labels differs.
    """
    if allowed is None:
        return unary
    if allowed.shape[-1] != unary.shape[1]:
        raise ValueError(f"allowed has {allowed.shape[-1]} labels, the scores have {unary.shape[1]}; wanted equal")
    impossible = ~allowed.to(unary.device).reshape(-1, unary.shape[1], 1, 1)
    return torch.where(impossible, unary.new_tensor(IMPOSSIBLE), unary)


def tiled_unary(model: SegmentationModel, image: torch.Tensor, canvas: int, tile: int) -> torch.Tensor:
    """The network's logits [B, L, H, W], as `model.unary`, for a model in evaluation mode; arguments as of `infer`."""
    height, width = image.shape[-2:]
    padded = model.pad(image, 0, max(canvas - height, 0), max(canvas - width, 0)) if canvas else image
    scores = model.aggregate(tiled_scores(model.network, model.network_input(padded), tile))
    return model.upsample(scores, padded.shape[-2:])[..., :height, :width]


def tiled_scores(network: Network, image: torch.Tensor, tile: int) -> torch.Tensor:
    """`network(image)`, computed in tiles of `tile` pixels and put together."""
    period, stride = network.period, network.output_stride
    if tile < period:
        raise ValueError(f"tile is {tile}; wanted at least {period} pixels, for example 1024")
    if not network.has_tiles:
        return network(image)
    rows = []
    for top, bottom, y in _tiles(network, image.shape[-2], tile):
        row = []
        for left, right, x in _tiles(network, image.shape[-1], tile):
            scores = network(image[..., top:bottom, left:right])
            row.append(scores[..., _cells(y, top, stride), _cells(x, left, stride)])
        rows.append(torch.cat(row, -1))
    return torch.cat(rows, -2)


def _tiles(network: Network, size: int, tile: int) -> list[tuple[int, int, tuple[int, int | None]]]:
    """For every tile along a side: first and last + 1 pixel with the margin, and without (None: to the end)."""
    period = network.period
    core = tile // period * period
    # Half the field of view, and one more score for the interpolation between them.
    margin = period * -(-(receptive_field(network, windows="actual") // 2 + period) // period)
    starts = range(0, max(1, size - margin), core)
    bounds = []
    for start in starts:
        end = None if start == starts[-1] else start + core
        bounds.append((max(0, start - margin), size if end is None else min(size, end + margin), (start, end)))
    return bounds


def _cells(bounds: tuple[int, int | None], offset: int, stride: int) -> slice:
    """The scores of a tile that begins at pixel `offset` which belong to the pixels within `bounds`."""
    start, end = bounds
    return slice((start - offset) // stride, None if end is None else (end - offset) // stride)
