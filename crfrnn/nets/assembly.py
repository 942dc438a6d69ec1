"""A network and a CRF-RNN put together: raw images in, logits at image resolution out."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from crfrnn.meanfield import CRFRNN
from crfrnn.nets.vgg import LargeFOV

NETWORKS: dict[str, type[LargeFOV]] = {"deeplab-largefov": LargeFOV}


class SegmentationModel(nn.Module):
    """`network`, its scores brought to image resolution, and `crf` on top (or None for the plain network).

    Args:
        network: scores [B, L, h, w] at stride `network.output_stride` from raw RGB images; `network.mean` pads borders.
        crf: a CRFRNN over the same labels, or None.
        input_scale: the network sees the image resampled by this factor, the CRF always the image itself. Below 1 it
            trades localisation, which the CRF can give back, for time (1/4 of it at 0.5).
    """

    def __init__(self, network: LargeFOV, crf: CRFRNN | None = None, input_scale: float = 1.0) -> None:
        super().__init__()
        if not 0 < input_scale <= 4:
            raise ValueError(f"input_scale is {input_scale}; wanted a factor above 0 and at most 4")
        self.network = network
        self.crf = crf
        self.input_scale = input_scale

    def scores(self, image: torch.Tensor) -> torch.Tensor:
        """Scores [B, L, h, w] of the network alone on the padded image (see `padded_size`)."""
        check_image(image)
        padded = self._pad(image)
        if self.input_scale != 1:
            size = [self._network_size(n) for n in image.shape[-2:]]
            padded = F.interpolate(padded, size=size, mode="bilinear", antialias=True)
        return self.network(padded)

    def unary(self, image: torch.Tensor) -> torch.Tensor:
        """The network's logits [B, L, H, W] at image resolution: align-corners bilinear, float32 or wider."""
        return self.upsample(self.scores(image), image.shape[-2:])

    def upsample(self, scores: torch.Tensor, size: torch.Size) -> torch.Tensor:
        """Scores of an image of `size` (H, W) interpolated to its pixels, align-corners, the padding cut off."""
        height, width = size
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        full = F.interpolate(scores, size=[self.padded_size(n) for n in size], mode="bilinear", align_corners=True)
        return full[..., :height, :width]

    def forward(self, image: torch.Tensor, num_iterations: int | None = None) -> torch.Tensor:
        """Logits [B, L, H, W] of raw RGB images [B, 3, H, W] in 0..255, any H and W.

        `num_iterations` (T) is handed to the CRF; None takes the CRF's own. Without a CRF it has to be None or 0.
        """
        unary = self.unary(image)
        if self.crf is not None:
            return self.crf(unary, image, num_iterations=num_iterations)
        if num_iterations:
            raise ValueError(
                f"num_iterations is {num_iterations}, but this model has no CRF; build it with "
                "build_model(..., crf=CRFRNN(num_labels)) or leave num_iterations out"
            )
        return unary

    def padded_size(self, pixels: int) -> int:
        """Length of an image side after padding: scores at stride 8 then cover it from its first to its last pixel."""
        return round((self._network_size(pixels) - 1) / self.input_scale) + 1

    def _network_size(self, pixels: int) -> int:
        stride = self.network.output_stride
        return stride * max(1, math.ceil((pixels - 1) * self.input_scale / stride - 1e-9)) + 1

    def _pad(self, image: torch.Tensor) -> torch.Tensor:
        """`image` with the mean colour added at the bottom and the right (DeepLab's test protocol)."""
        height, width = image.shape[-2:]
        bottom, right = self.padded_size(height) - height, self.padded_size(width) - width
        if not (bottom or right):
            return image
        mean = self.network.mean
        return F.pad(image - mean, (0, right, 0, bottom)) + mean


def check_image(image: torch.Tensor) -> None:
    """Raise where `image` is no floating-point batch [B, 3, H, W]."""
    if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
        raise ValueError(
            f"image has shape {list(image.shape)}; wanted a batch of RGB images [B, 3, H, W] (image[None] makes one)"
        )
    if not image.is_floating_point():
        raise TypeError(f"image is {image.dtype}; wanted raw RGB 0..255 as floating point: image.float()")


def build_model(
    name: str = "deeplab-largefov",
    num_labels: int = 21,
    crf: CRFRNN | None = None,
    *,
    width: float = 1.0,
    dropout: float = 0.5,
    input_scale: float = 1.0,
) -> SegmentationModel:
    """The network called `name`, with `crf` on top or (None) plain, randomly initialised.

    Args:
        name: one of `NETWORKS`.
        num_labels: L, background included.
        crf: a CRFRNN over as many labels.
        width: factor on the channels of the network, for small machines.
        dropout: probability behind fc6 and fc7.
        input_scale: see `SegmentationModel`.

    Raises ValueError for an unknown name, fewer than two labels, or a CRF over another number of labels.
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}; the networks are {', '.join(sorted(NETWORKS))}")
    if crf is not None and crf.num_labels != num_labels:
        raise ValueError(
            f"the network has num_labels={num_labels}, the CRF {crf.num_labels}; give both the same number of labels"
        )
    return SegmentationModel(NETWORKS[name](num_labels, width=width, dropout=dropout), crf, input_scale)
