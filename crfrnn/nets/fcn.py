"""FCN-32s, -16s and -8s (Long et al. 2015), layer by layer as in the released files."""

from collections.abc import Sequence

import torch
import torch.nn as nn

from crfrnn.nets.layers import Layer
from crfrnn.nets.variants import FCNVariant, fcn_layers
from crfrnn.nets.vgg import VGG16

# How each upsampling enlarges, and at which row and column what comes out of it, or the skip it meets, is cropped.
UPSAMPLING = {
    (): (("upscore", 32, 19),),
    ("pool4",): (("upscore2", 2, 5), ("upscore16", 16, 27)),
    ("pool4", "pool3"): (("upscore2", 2, 5), ("upscore_pool4", 2, 9), ("upscore8", 8, 31)),
}


class FCN(VGG16):
    """An FCN: raw RGB images [B, 3, H, W] in 0..255 of any size in, scores [B, L, H, W] out.

    conv1_1 pads by 100 pixels; what that makes too much is cropped. The upsampling layers are transposed convolutions that
    start bilinear and frozen; `network.requires_grad_(True)` frees them. upscore2 has a bias, zero at first, because that of
    CRF-RNN has one. The score layers start at zero, so that a new skip adds nothing.

    Args:
        variant: a row of `crfrnn.nets.variants`.
        num_labels, width, dropout: see `VGG16`.
    """

    output_stride = 1
    origin = 0
    period = 32

    def __init__(self, variant: FCNVariant, num_labels: int, width: float = 1.0, dropout: float = 0.5) -> None:
        self._chain = fcn_layers()
        super().__init__(self._chain, num_labels, 4096, width, dropout)
        self.variant = variant
        upsampling = (name for name, *_ in UPSAMPLING[variant.skips])
        self.label_layers = ("score_fr", *(f"score_{pool}" for pool in variant.skips), *upsampling)
        self.score_fr = nn.Conv2d(self.fc7.out_channels, num_labels, 1)
        for pool in variant.skips:
            channels = self.get_submodule(f"conv{pool[-1]}_3").out_channels
            self.add_module(f"score_{pool}", nn.Conv2d(channels, num_labels, 1))  # type: ignore[arg-type]
        for name, factor, _ in UPSAMPLING[variant.skips]:
            layer = nn.ConvTranspose2d(num_labels, num_labels, 2 * factor, factor, bias=name == "upscore2")
            self.add_module(name, layer.requires_grad_(False))
        self.initialize()

    def chain(self, training: bool) -> tuple[Layer, ...]:
        return self._chain

    def padded_size(self, size: int) -> int:
        return size

    @torch.no_grad()
    def reset_scores(self) -> None:
        for name in self.label_layers:
            layer = self.get_submodule(name)
            for parameter in layer.parameters():
                parameter.zero_()
            if isinstance(layer, nn.ConvTranspose2d):
                layer.weight.copy_(bilinear_filters(self.num_labels, layer.kernel_size[0]))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        maps = self.features(image, keep=self.variant.skips)
        scores = self.score_fr(maps["fc7"])
        steps = UPSAMPLING[self.variant.skips]
        for (name, _, offset), pool, scale in zip(steps, self.variant.skips, self.variant.scales, strict=False):
            scores = self.get_submodule(name)(scores)
            skip = self.get_submodule(f"score_{pool}")(maps[pool] * scale if scale != 1 else maps[pool])
            scores = scores + crop(skip, offset, scores.shape[-2:])
        name, _, offset = steps[-1]
        return crop(self.get_submodule(name)(scores), offset, image.shape[-2:]).contiguous()


def crop(x: torch.Tensor, offset: int, size: Sequence[int]) -> torch.Tensor:
    """`size` (h, w) rows and columns of x [B, C, H, W] from `offset` on in both."""
    return x[..., offset : offset + size[0], offset : offset + size[1]]


def bilinear_filters(num_labels: int, kernel: int) -> torch.Tensor:
    """Weights [L, L, k, k] of a transposed convolution of stride k / 2 (k even) that interpolates each label on its own.

    With f = k / 2 the filter is (1 - |i - c| / f) (1 - |j - c| / f) around its center c = f - 1/2.
    """
    factor = kernel // 2
    ramp = 1 - (torch.arange(kernel) - (factor - 0.5)).abs() / factor
    return torch.einsum("lm,ij->lmij", torch.eye(num_labels), torch.outer(ramp, ramp))
