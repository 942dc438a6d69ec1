"""The atrous VGG-16 of DeepLab-LargeFOV (Chen et al. 2015, arXiv 1412.7062), layer by layer as in the released files."""

import torch
import torch.nn as nn
import torch.nn.functional as F

MEAN_RGB = (122.675, 116.669, 104.008)
"""Mean colour of the ImageNet training set in grey levels of 0..255; subtracted inside the network."""

OUTPUT_STRIDE = 8
"""Pixels of the network's input between two neighbouring scores."""

INPUT_SCALE = 64.0
"""About the deviation of photographs in grey levels; He's initialisation counts on inputs of deviation 1."""

# (block, convolutions, channels, dilation, stride of the max pooling behind it)
TRUNK = ((1, 2, 64, 1, 2), (2, 2, 128, 1, 2), (3, 3, 256, 1, 2), (4, 3, 512, 1, 1), (5, 3, 512, 2, 1))
CONVOLUTIONS = tuple(f"conv{block}_{i}" for block, count, *_ in TRUNK for i in range(1, count + 1))


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, a multiple of 4 and at least 8."""
    return max(8, 4 * round(channels * width / 4))


class LargeFOV(nn.Module):
    """DeepLab-LargeFOV: VGG-16 with stride 8 by the atrous algorithm and a 3x3 fc6 of dilation 12.

    Raw RGB images [B, 3, H, W] in 0..255 go in; the mean colour is subtracted inside. Scores [B, L, h, w] come out, with
    h = (H - 1) // 8 + 1 and likewise w: score (i, j) belongs to pixel (8 i, 8 j). Sizes 8 k + 1 waste no border.

    Args:
        num_labels: L, at least 2.
        width: factor on the channels of every layer but the last; 1.0 is the published network (20.5 M parameters).
        dropout: probability behind fc6 and fc7.

    Convolutions start from He et al. 2015 (fan-in), biases at zero, fc8 from a Gaussian of deviation 0.01 as released.
    """

    output_stride = OUTPUT_STRIDE
    mean: torch.Tensor

    def __init__(self, num_labels: int, width: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__()
        if num_labels < 2:
            raise ValueError(f"num_labels is {num_labels}; a segmentation needs at least 2 labels (background counts)")
        if not width > 0:
            raise ValueError(f"width is {width}; wanted a positive factor, 1.0 for the published network")
        self.num_labels = num_labels
        self.dropout = dropout
        channels = 3
        for block, count, published, dilation, _ in TRUNK:
            for i in range(1, count + 1):
                conv = nn.Conv2d(channels, scaled(published, width), 3, padding=dilation, dilation=dilation)
                self.add_module(f"conv{block}_{i}", conv)
                channels = conv.out_channels
        hidden = scaled(1024, width)
        self.fc6 = nn.Conv2d(channels, hidden, 3, padding=12, dilation=12)
        self.fc7 = nn.Conv2d(hidden, hidden, 1)
        self.fc8 = nn.Conv2d(hidden, num_labels, 1)
        self.register_buffer("mean", torch.tensor(MEAN_RGB).view(1, 3, 1, 1), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.fc8.weight, std=0.01)
        with torch.no_grad():
            self.get_parameter("conv1_1.weight").div_(INPUT_SCALE)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = (image - self.mean).contiguous(memory_format=torch.channels_last)
        for block, count, _, _, stride in TRUNK:
            for i in range(1, count + 1):
                x = F.relu(self.get_submodule(f"conv{block}_{i}")(x), inplace=True)
            x = F.max_pool2d(x, 3, stride=stride, padding=1)
        x = F.avg_pool2d(x, 3, stride=1, padding=1)  # pool5a; Caffe counts padded cells, and so does torch by default
        x = F.dropout(F.relu(self.fc6(x), inplace=True), self.dropout, self.training)
        x = F.dropout(F.relu(self.fc7(x), inplace=True), self.dropout, self.training)
        return self.fc8(x)
