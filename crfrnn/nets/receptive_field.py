"""The receptive field of a network and its number of parameters."""

from typing import Literal

import torch.nn as nn

from crfrnn.nets.assembly import Network, SegmentationModel
from crfrnn.nets.deeplab import DeepLab
from crfrnn.nets.fcn import FCN
from crfrnn.nets.layers import Layer, field
from crfrnn.nets.variants import BLOCKS


def receptive_field(
    model: SegmentationModel | Network, *, padding: bool = True, windows: Literal["published", "actual"] = "published"
) -> int:
    """Pixels in a row (of the network's input) that one score depends on.

    Args:
        padding: count the rings of zeros that the 3x3 convolutions add around VGG-16; without them, what the field covers
            of an image that fills it exactly: 404 and 224 for VGG-16 itself.
        windows: "published" counts every pooling as VGG-16's 2x2, as the DeepLab paper does (404 or 308); "actual" counts
            the windows that are there. The 3x3 ones and pool5a of the released LargeFOV make it 435.

    Raises TypeError for networks without such a field, and for modules of other kinds.
    """
    network = model.network if isinstance(model, SegmentationModel) else model
    if not isinstance(network, DeepLab | FCN):
        raise TypeError(
            f"got a {type(network).__name__}; wanted a model of build_model of the VGG-16 family, or its network"
        )
    chain = network.chain(training=False)
    cells = field(chain)
    if windows == "published":
        cells += sum(2 ** (block - 1) for block, *_ in BLOCKS) - _cells_of(chain, "pool")
    if not padding:
        cells -= _cells_of(chain, "conv")
    return cells


def parameter_count(module: nn.Module) -> int:
    """Numbers in all parameters, frozen ones included. Networks built under `torch.device("meta")` cost no memory."""
    return sum(parameter.numel() for parameter in module.parameters())


def _cells_of(chain: tuple[Layer, ...], kind: str) -> int:
    """What the layers whose name begins with `kind` add to the field."""
    cells, step = 0, 1
    for layer in chain:
        cells += step * layer.reach if layer.name.startswith(kind) else 0
        step *= layer.stride
    return cells
