"""VGG-16 up to fc7 as a chain of layers, shared by all networks of the family."""

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F

from crfrnn.nets.layers import Layer
from crfrnn.nets.variants import BLOCKS, CONVOLUTIONS

MEAN_RGB = (122.675, 116.669, 104.008)
"""Mean color of the ImageNet training set in gray levels of 0..255; subtracted inside the network."""

INPUT_SCALE = 64.0
"""About the deviation of photographs in gray levels; He's initialization counts on inputs of deviation 1."""


def check_arguments(num_labels: int, width: float, dropout: float) -> None:
    """Raise ValueError for fewer than two labels, a width of 0 or less, or a dropout that is no probability below 1."""
    if num_labels < 2:
        raise ValueError(f"num_labels is {num_labels}; a segmentation needs at least 2 labels (background counts)")
    if not width > 0:
        raise ValueError(f"width is {width}; wanted a positive factor, 1.0 for the published network")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is {dropout}; wanted a probability of at least 0 and below 1")


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, a multiple of 4 and at least 8."""
    return max(8, 4 * round(channels * width / 4))


class VGG16(nn.Module):
    """conv1_1 ... conv5_3, fc6 and fc7, named as in Caffe; the networks add what turns fc7 into scores.

    Args:
        layers: conv1_1 ... fc6 with their poolings.
        num_labels: L, at least 2.
        hidden: channels of fc6 and fc7.
        width: factor on the channels of every layer but the scores; 1.0 is the published network.
        dropout: dropout probability after fc6 and fc7.

    Convolutions start from He et al. 2015 (fan-in), biases at zero.

    `mean`, [1, 3, 1, 1], is the color that is subtracted from images. For the other attributes see
    `crfrnn.nets.assembly.Network`.
    """

    mean: torch.Tensor
    label_layers: tuple[str, ...]
    has_tiles = True

    def __init__(self, layers: Sequence[Layer], num_labels: int, hidden: int, width: float, dropout: float) -> None:
        super().__init__()
        check_arguments(num_labels, width, dropout)
        self.num_labels = num_labels
        self.width = width
        self.dropout = dropout
        channels, hidden = 3, scaled(hidden, width)
        published = {f"conv{block}": number for block, _, number in BLOCKS}
        for layer in layers:
            if not layer.is_pooling:
                out = hidden if layer.name == "fc6" else scaled(published[layer.name.split("_")[0]], width)
                conv = nn.Conv2d(channels, out, layer.kernel, padding=layer.padding, dilation=layer.dilation)
                self.add_module(layer.name, conv)
                channels = out
        self.fc7 = nn.Conv2d(hidden, hidden, 1)
        self.register_buffer("mean", torch.tensor(MEAN_RGB).view(1, 3, 1, 1), persistent=False)

    @property
    def fill(self) -> torch.Tensor:
        return self.mean

    def initialize(self) -> None:
        """Initialize all layers; subclasses call this once they have built theirs."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.get_parameter("conv1_1.weight").div_(INPUT_SCALE)
        self.reset_scores()

    def reset_scores(self) -> None:
        """Reinitialize the label layers."""
        raise NotImplementedError

    def family(self, parameter: str) -> str:
        """Which group of rates a parameter belongs to."""
        layer = parameter.split(".")[0]
        if layer in self.label_layers:
            return "last layer"
        return "trunk" if layer in CONVOLUTIONS else "new layers"

    def chain(self, training: bool) -> tuple[Layer, ...]:
        """conv1_1 ... fc6 with their poolings, as run in training or at test time."""
        raise NotImplementedError

    def features(self, image: torch.Tensor, keep: Sequence[str] = ()) -> dict[str, torch.Tensor]:
        """fc7 of raw RGB images [B, 3, H, W], and whatever of "data", "pool1" ... "pool5" is asked for, by name."""
        x = (image - self.mean).contiguous(memory_format=torch.channels_last)
        kept = {"data": x} if "data" in keep else {}
        for layer in self.chain(self.training):
            x = self.layer(layer, x)
            if layer.name in keep:
                kept[layer.name] = x
        x = F.dropout(x, self.dropout, self.training)
        kept["fc7"] = F.dropout(F.relu(self.fc7(x), inplace=True), self.dropout, self.training)
        return kept

    def layer(self, layer: Layer, x: torch.Tensor) -> torch.Tensor:
        """`x` after a layer of the chain: a pooling, or a convolution and its ReLU."""
        return _pool(x, layer) if layer.is_pooling else F.relu(self.get_submodule(layer.name)(x), inplace=True)


def _pool(x: torch.Tensor, layer: Layer) -> torch.Tensor:
    if layer.name == "pool5a":  # Caffe counts padded cells in its averages, and so does torch by default
        return F.avg_pool2d(x, layer.kernel, layer.stride, layer.padding)
    padding = layer.padding
    if padding > layer.kernel // 2:  # more than max_pool2d takes; after a ReLU, padded zeros never change the maximum
        x, padding = F.pad(x, [padding] * 4), 0
    return F.max_pool2d(x, layer.kernel, layer.stride, padding, layer.dilation, ceil_mode=True)
