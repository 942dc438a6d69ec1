"""DeepLab (Chen et al. 2015, arXiv 1412.7062): VGG-16 with the atrous algorithm, single scale and multi-scale (MSc)."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from crfrnn.nets.layers import Layer, origin, stride
from crfrnn.nets.variants import BLOCKS, DeepLabVariant, deeplab_layers
from crfrnn.nets.vgg import VGG16, scaled

EARLY = {"pool1": 2, "pool2": 4, "pool3": 8}
"""Poolings whose maps a learned guide is made of, and their strides."""
BRANCHES = ("data", "pool1", "pool2", "pool3", "pool4")


class DeepLab(VGG16):
    """A single-scale DeepLab: raw RGB images [B, 3, H, W] in 0..255 in, scores [B, L, h, w] out.

    Score (i, j) belongs to pixel (origin + stride i, origin + stride j). Sizes `padded_size` gives waste no border: 8 k + 1
    with the 3x3 poolings, 8 k + 2 with those of `deeplab`, which at test time begin half a score outside the image.

    Args:
        variant: a row of `crfrnn.nets.variants`.
        output_stride: None for the released network (stride 8); 32, 16 or 8 for the atrous algorithm applied to all of
            VGG-16: the same function of the same weights at three densities. See `deeplab_layers`.
        num_labels, width, dropout: see `VGG16`.

    fc8 starts from a Gaussian of deviation 0.01, as released.
    """

    label_layers: tuple[str, ...] = ("fc8",)
    early_strides = tuple(EARLY.values())

    def __init__(
        self,
        variant: DeepLabVariant,
        num_labels: int,
        width: float = 1.0,
        dropout: float = 0.5,
        output_stride: int | None = None,
    ) -> None:
        if output_stride not in (None, 8, 16, 32):
            raise ValueError(
                f"output_stride is {output_stride}; wanted 8, 16 or 32, or None for the network as released (8)"
            )
        self._chains = {training: deeplab_layers(variant, output_stride, training) for training in (False, True)}
        super().__init__(self._chains[False], num_labels, variant.channels, width, dropout)
        self.variant = variant
        self.score_stride = self.period = stride(self._chains[False])  # pixels between two scores of fc8
        # Half pixels go up: so do the released files, which drop 7 of 529 columns on the left and 8 on the right.
        self._origins = {training: math.ceil(origin(chain)) for training, chain in self._chains.items()}
        self.fc8 = nn.Conv2d(self.fc7.out_channels, num_labels, 1)
        self.initialize()

    def chain(self, training: bool) -> tuple[Layer, ...]:
        return self._chains[training]

    @property
    def output_stride(self) -> int:
        return self.score_stride

    @property
    def origin(self) -> int:
        return self._origins[self.training]

    def padded_size(self, size: int) -> int:
        step, rest = self.score_stride, 1 if self.variant.pool_kernel == 3 else 2
        return step * max(1, math.ceil((size - rest) / step)) + rest

    def reset_scores(self) -> None:
        nn.init.normal_(self.fc8.weight, std=0.01)
        nn.init.zeros_(self.fc8.bias)  # type: ignore[arg-type]

    @property
    def early_channels(self) -> tuple[int, ...]:
        last = (self.get_parameter(f"{layer}.bias") for layer in ("conv1_2", "conv2_2", "conv3_3"))
        return tuple(len(bias) for bias in last)

    def early(self, image: torch.Tensor) -> list[torch.Tensor]:
        """The maps `EARLY` of images [B, 3, H, W], (i, j) of stride s for pixel (s i, s j), to half a cell."""
        x, kept = (image - self.mean).contiguous(memory_format=torch.channels_last), []
        for layer in self.chain(self.training):
            x = self.layer(layer, x)
            kept += [x] if layer.name in EARLY else []
            if len(kept) == len(EARLY):
                break
        return kept

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.fc8(self.features(image)["fc7"])


class DeepLabMSc(DeepLab):
    """DeepLab with five branches, from the image and pool1 ... pool4, whose scores are added to those of fc8.

    A branch is 3x3 to 128, 1x1 to 128, 1x1 to L. In training the first convolution strides, so that all branches meet at
    the scores of fc8; at test time none does, every map is upsampled to the pixels (bilinear, align-corners), and the sum
    is [B, L, H, W]. Load a trained single-scale network first (`crfrnn.nets.start_from`): all but the branches, and fc8 in
    deeplab-msc, is frozen.
    """

    label_layers = ("fc8", *(f"{name}_ms" for name in BRANCHES))

    def __init__(
        self,
        variant: DeepLabVariant,
        num_labels: int,
        width: float = 1.0,
        dropout: float = 0.5,
        output_stride: int | None = None,
    ) -> None:
        super().__init__(variant, num_labels, width, dropout, output_stride)
        self.requires_grad_(False)
        self.fc8.requires_grad_(variant.trains_fc8)
        self.steps = self._steps()
        channels = {"data": 3, **{f"pool{block}": scaled(published, width) for block, _, published in BLOCKS}}
        hidden = scaled(128, width)
        for name in BRANCHES:
            self.add_module(f"{name}_conv", nn.Conv2d(channels[name], hidden, 3, padding=1))
            self.add_module(f"{name}_fc", nn.Conv2d(hidden, hidden, 1))
            self.add_module(f"{name}_ms", nn.Conv2d(hidden, num_labels, 1))
            for part in ("conv", "fc"):
                layer = self.get_submodule(f"{name}_{part}")
                nn.init.normal_(layer.weight, std=0.005 if f"{name}_{part}" == "pool4_fc" else 0.001)  # type: ignore[arg-type]
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.reset_scores()

    def _steps(self) -> dict[str, int]:
        """Pixels between two cells of the map each branch begins from."""
        steps, step = {"data": 1}, 1
        for layer in self._chains[False]:
            step *= layer.stride
            if layer.is_pooling:
                steps[layer.name] = step
        return steps

    @property
    def output_stride(self) -> int:
        return self.score_stride if self.training else 1

    def reset_scores(self) -> None:
        super().reset_scores()
        for name in self.label_layers[1:]:
            if hasattr(self, name):  # not yet there when the single-scale part is built
                layer = self.get_submodule(name)
                # The released file says nothing about the weights of pool3_ms, which means zero in Caffe.
                nn.init.normal_(layer.weight, std=0.0 if name == "pool3_ms" else 0.01)  # type: ignore[arg-type]
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[-2:]
        if self.training and (height, width) != (self.padded_size(height), self.padded_size(width)):
            raise ValueError(
                f"the image is {height} x {width}; in training, the strided branches meet only for sides of "
                f"{self.score_stride} k + 1 pixels, such as 321: change the crop, or call the model, which pads"
            )
        maps = self.features(image, keep=BRANCHES)
        scores = {name: self._branch(name, maps[name]) for name in BRANCHES}
        scores["fc8"] = self.fc8(maps["fc7"])
        if self.training:
            return torch.stack(list(scores.values())).sum(0)
        steps = {**self.steps, "fc8": self.score_stride}
        return torch.stack([_zoom(score, steps[name])[..., :height, :width] for name, score in scores.items()]).sum(0)

    def _branch(self, name: str, x: torch.Tensor) -> torch.Tensor:
        first = self.get_submodule(f"{name}_conv")
        step = self.score_stride // self.steps[name] if self.training else 1
        x = F.relu(F.conv2d(x, first.weight, first.bias, stride=step, padding=1), inplace=True)  # type: ignore[arg-type]
        x = F.dropout(x, self.dropout, self.training)
        x = F.dropout(F.relu(self.get_submodule(f"{name}_fc")(x), inplace=True), self.dropout, self.training)
        return self.get_submodule(f"{name}_ms")(x)


def _zoom(scores: torch.Tensor, factor: int) -> torch.Tensor:
    """Align-corners bilinear: from n cells to factor (n - 1) + 1."""
    size = [factor * (n - 1) + 1 for n in scores.shape[-2:]]
    return F.interpolate(scores, size=size, mode="bilinear", align_corners=True)
