"""DeepLabV3 on MobileNetV2 (Sandler et al. 2018): a small network that is strong once it has published weights."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from crfrnn.nets.vgg import check_arguments, scaled

STEM, HEAD, EXPANSION = 32, 256, 6
"""Channels of the first layer and of the head, and the factor of the inner channels of a block."""

# Blocks in a row: (blocks, channels, stride of the first, dilation). That of the first with 160 channels is 1 here and 2 in
# MobileNetV2; the blocks after it are dilated instead.
ROWS = (
    (1, 16, 1, 1),
    (2, 24, 2, 1),
    (3, 32, 2, 1),
    (4, 64, 2, 1),
    (3, 96, 1, 1),
    (1, 160, 1, 1),
    (2, 160, 1, 2),
    (1, 320, 1, 2),
)

EARLY = {1: 2, 3: 4, 6: 8}
"""The last block of each stride below that of the scores, and the stride."""
CANVAS = 513
STRIDE = 16


class Block(nn.Module):
    """Expand (1x1), filter each channel (3x3), project (1x1).

    Args:
        before, after: channels of the input and of the output.
        expansion: inner channels over those of the input; 1 leaves out the expanding layer.
        residual: whether the input is added.
    """

    def __init__(self, before: int, after: int, stride: int, dilation: int, *, expansion: int, residual: bool) -> None:
        super().__init__()
        inner = before * expansion
        self.expand = nn.Conv2d(before, inner, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(inner, inner, 3, stride, padding=dilation, dilation=dilation, groups=inner)
        self.project = nn.Conv2d(inner, after, 1)
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = x if self.expand is None else F.relu6(self.expand(x))
        result = self.project(F.relu6(self.depthwise(inner)))
        return x + result if self.residual else result


class DeepLabV3MobileNetV2(nn.Module):
    """Raw RGB images [B, 3, H, W] in 0..255 in, scores [B, L, h, w] out, one for every 16th pixel, from the first on.

    Batch normalization is folded into the convolutions. Half of what the last layers see is the mean over the map, so that
    every score depends on the whole image and on its padding. At test time, as in training by its authors, images lie on a
    canvas of at least 513 x 513.

    Args:
        num_labels, width: see `crfrnn.nets.vgg.VGG16`.
        dropout: dropout probability in front of the scores.

    For the other attributes see `crfrnn.nets.assembly.Network`.
    """

    output_stride = period = STRIDE
    origin = 0
    has_tiles = False
    variant = "deeplabv3-mobilenetv2"
    label_layers = ("logits",)
    early_strides = tuple(EARLY.values())
    fill: torch.Tensor

    def __init__(self, num_labels: int, width: float = 1.0, dropout: float = 0.1) -> None:
        super().__init__()
        check_arguments(num_labels, width, dropout)
        self.num_labels, self.dropout = num_labels, dropout
        before = STEM
        layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, scaled(before, width), 3, 2, padding=1))]
        for count, after, first, dilation in ROWS:
            for stride in (first, *[1] * (count - 1)):
                expansion = 1 if len(layers) == 1 else EXPANSION
                channels, residual = (scaled(before, width), scaled(after, width)), stride == 1 and before == after
                layers.append(Block(*channels, stride, dilation, expansion=expansion, residual=residual))
                before = after
        self.features = nn.Sequential(*layers)
        hidden = scaled(HEAD, width)
        self.aspp, self.pooling = (nn.Conv2d(scaled(before, width), hidden, 1) for _ in range(2))
        self.projection = nn.Conv2d(2 * hidden, hidden, 1)
        self.logits = nn.Conv2d(hidden, num_labels, 1)
        self.register_buffer("fill", torch.full((1, 3, 1, 1), 128.0), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        self.reset_scores()

    def reset_scores(self) -> None:
        """Reinitialize the layer of the scores."""
        nn.init.normal_(self.logits.weight, std=0.01)
        nn.init.zeros_(self.logits.bias)  # type: ignore[arg-type]

    def padded_size(self, size: int) -> int:
        """The length at which the scores cover an image side: 16 k + 1, and that of the canvas or more at test time."""
        length = STRIDE * math.ceil((size - 1) / STRIDE) + 1
        return length if self.training else max(CANVAS, length)

    def family(self, parameter: str) -> str:
        """Which group of rates a parameter belongs to."""
        layer = parameter.split(".")[0]
        return {"features": "trunk", "logits": "last layer"}.get(layer, "new layers")

    @property
    def early_channels(self) -> tuple[int, ...]:
        return tuple(len(self.get_parameter(f"features.{block}.project.bias")) for block in EARLY)

    def early(self, image: torch.Tensor) -> list[torch.Tensor]:
        """What the blocks `EARLY` give for images [B, 3, H, W], score (i, j) of stride s for pixel (s i, s j)."""
        x, kept = self.first(image), []
        for block in range(1, max(EARLY) + 1):
            x = self.features[block](x)
            kept += [x] if block in EARLY else []
        return kept

    def first(self, image: torch.Tensor) -> torch.Tensor:
        x = (image / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        return F.relu6(self.features[0](x))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.trunk(image))

    def trunk(self, image: torch.Tensor) -> torch.Tensor:
        """What the layers `features` give for images [B, 3, H, W]: [B, C, h, w]."""
        return self.features[1:](self.first(image))

    def head(self, x: torch.Tensor) -> torch.Tensor:
        """Scores [B, L, h, w] of what `trunk` gives."""
        pooled = F.relu(self.pooling(x.mean((2, 3), keepdim=True))).expand(-1, -1, *x.shape[2:])
        x = F.relu(self.projection(torch.cat([pooled, F.relu(self.aspp(x))], 1)))
        return self.logits(F.dropout(x, self.dropout, self.training))
