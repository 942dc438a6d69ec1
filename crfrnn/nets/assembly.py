"""A network and a CRF-RNN put together: raw images in, logits at image resolution out."""

import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn as nn
import torch.nn.functional as F

from crfrnn.lattice.checks import all_finite
from crfrnn.meanfield import CRFRNN
from crfrnn.nets.deeplab import DeepLab, DeepLabMSc
from crfrnn.nets.fcn import FCN
from crfrnn.nets.functions import NetworkFunction, is_own
from crfrnn.nets.guide import GuidedCRF, LearnedGuide
from crfrnn.nets.mobilenet import DeepLabV3MobileNetV2
from crfrnn.nets.own import OwnNetwork
from crfrnn.nets.variants import VARIANTS, DeepLabVariant, FCNVariant

NETWORKS = (*VARIANTS, DeepLabV3MobileNetV2.variant)
Network = DeepLab | FCN | DeepLabV3MobileNetV2 | OwnNetwork
"""A network takes raw RGB images [B, 3, H, W] in 0..255 and gives scores [B, L, h, w]. It has

num_labels, and label_layers: the layers whose shape follows it; `reset_scores` reinitializes them.
output_stride: pixels of the network's input between two neighboring scores.
origin: the pixel of the network's input that score 0 belongs to; below 0 where scores begin outside the image.
period: cropping a multiple of this many pixels from the top or left leaves the remaining scores aligned with the image.
has_tiles: whether a score depends on no more than a window of the image, so that images can be computed in tiles.
fill: [1, 3, 1, 1], the color that images are padded with.
variant: equal for networks of the same layers.
padded_size(n): the smallest length of at least n at which the scores cover an image side as in the released files.
family(name): the group of rates a parameter belongs to: "trunk", "new layers" or "last layer".

DeepLab and DeepLabV3MobileNetV2 also have early(image), the maps that a `LearnedGuide` is made of, early_channels and
early_strides.
"""
Forward = Callable[[torch.Tensor], torch.Tensor]


class SegmentationModel(nn.Module):
    """`network`, its scores brought to image resolution, and `crf` on top (or None for the plain network).

    Args:
        network: scores [B, L, h, w] from raw RGB images; see `Network`.
        crf: a CRFRNN over the same labels, or None.
        input_scale: the network sees the image resampled by this factor; the CRF always sees the image itself. Below 1 it
            trades localization, which the CRF can restore, for time (1/4 of it at 0.5).
        input_side: at test time, images are first resampled until their longer side has this many pixels, for the network
            alone; None leaves them as they are.
        guide_channels: of a `LearnedGuide` for the `feature_kernel` of the CRF that looks at "learned"; 0 for none.
        extra_labels: how many scores of the network follow those of the labels and count as background (label 0), such as
            classes that only another data set distinguishes. `aggregate` adds them to the background.

    `torch.compile` takes the whole model, and `torch.export` for images of a fixed size; the CRF is one node to them, see
    `crfrnn.tracing`.
    """

    def __init__(
        self,
        network: Network,
        crf: CRFRNN | None = None,
        input_scale: float = 1.0,
        extra_labels: int = 0,
        input_side: int | None = None,
        guide_channels: int = 0,
    ) -> None:
        super().__init__()
        if input_side is not None and input_side < 1:
            raise ValueError(f"input_side is {input_side}; wanted a length in pixels, or None")
        if not 0 < input_scale <= 4:
            raise ValueError(f"input_scale is {input_scale}; wanted a factor above 0 and at most 4")
        self.network = network
        self.crf = crf
        self.input_scale = input_scale
        self.extra_labels = extra_labels
        self.input_side = input_side
        self.guide = _build_guide(network, guide_channels) if guide_channels else None

    def scores(self, image: torch.Tensor, network: Forward | None = None) -> torch.Tensor:
        """Scores [B, L, h, w] of the network alone on the padded image (see `padded_size`).

        In training, score (i, j) belongs to pixel (s i, s j) of the network's input, s being its output stride. `network`
        is called in place of the model's own.
        """
        return self.aggregate(self.all_scores(image, network))

    def aggregate(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores [B, L + E, h, w] with those of the E extra labels in that of background. -> [B, L, h, w].

        f_0 = log(exp f_0 + sum_e exp f_e), so that probabilities add up (layer CHANNEL_AGGREGATOR of DeepLab, 2015).
        """
        if not self.extra_labels:
            return scores
        labels, extra = scores[:, : -self.extra_labels], scores[:, -self.extra_labels :]
        background = torch.cat([labels[:, :1], extra], 1).logsumexp(1, keepdim=True)
        return torch.cat([background, labels[:, 1:]], 1)

    def all_scores(self, image: torch.Tensor, network: Forward | None = None) -> torch.Tensor:
        """As `scores`, followed by those of the extra labels: [B, L + E, h, w]."""
        scores = (network or self.network)(self.network_input(image))
        if self.network.training:
            skipped = (self._lead - self.network.origin) // self.network.output_stride
            scores = scores[..., skipped:, skipped:]
        return scores

    def network_input(self, image: torch.Tensor) -> torch.Tensor:
        """What the network gets for `image` [B, 3, H, W]: of `input_side`, padded, resampled by `input_scale`."""
        check_image(image)
        height, width = self._seen_size(image.shape[-2:])
        if (height, width) != image.shape[-2:]:
            image = F.interpolate(image, size=[height, width], mode="bilinear", antialias=True)
        padded = self.pad(image, 0, self.padded_size(height) - height, self.padded_size(width) - width)
        if self.input_scale != 1:
            size = [self._network_size(n) for n in image.shape[-2:]]
            padded = F.interpolate(padded, size=size, mode="bilinear", antialias=True)
        return self.pad(padded, self._lead, 0, 0)

    def unary(self, image: torch.Tensor, network: Forward | None = None) -> torch.Tensor:
        """The network's logits [B, L, H, W] at image resolution: align-corners bilinear, float32 or wider.

        `network` is called in place of the model's own.
        """
        return self.upsample(self.scores(image, network), image.shape[-2:])

    def upsample(self, scores: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """Scores of an image of `size` (H, W) interpolated to its pixels, align-corners, the padding cut off."""
        start = 0 if self.network.training else round(-self.network.origin / self.input_scale)
        return self._at_pixels(scores, self.network.output_stride, start, size)

    def _at_pixels(self, values: torch.Tensor, stride: int, start: int, size: Sequence[int]) -> torch.Tensor:
        """A map of `stride` over the network's input, at the pixels of an image of `size` that begins at pixel `start`."""
        height, width = self._seen_size(size)
        values = values.to(torch.promote_types(values.dtype, torch.float32))
        factor = stride / self.input_scale
        if factor != 1:
            full = [round((n - 1) * factor) + 1 for n in values.shape[-2:]]
            values = F.interpolate(values, size=full, mode="bilinear", align_corners=True)
        values = values[..., start : start + height, start : start + width]
        if (height, width) != tuple(size):
            values = F.interpolate(values, size=list(size), mode="bilinear")
        return values

    @property
    def layer(self) -> CRFRNN | GuidedCRF | None:
        """The CRF, to be called with unary and image alone; None without one."""
        return self.crf if self.crf is None or self.guide is None else GuidedCRF(self.crf, self.learned_guide)

    def learned_guide(self, image: torch.Tensor) -> torch.Tensor:
        """The learned guide [B, C, H, W] of raw RGB images [B, 3, H, W], in gray levels. Early layers run for it alone."""
        assert self.guide is not None
        network = cast(DeepLab | DeepLabV3MobileNetV2, self.network)
        embeddings = self.guide.embeddings(network.early(self.network_input(image)))
        start, pairs = round(self._lead / self.input_scale), zip(embeddings, network.early_strides, strict=True)
        return self.guide(image, [self._at_pixels(each, stride, start, image.shape[-2:]) for each, stride in pairs])

    def forward(self, image: torch.Tensor, num_iterations: int | None = None) -> torch.Tensor:
        """Logits [B, L, H, W] of raw RGB images [B, 3, H, W] in 0..255, any H and W.

        `num_iterations` (T) is handed to the CRF; None takes the CRF's own. Without a CRF it has to be None or 0.
        """
        unary = self.unary(image)
        return self.refine(unary, image, num_iterations) if self.crf is not None or num_iterations else unary

    def refine(self, unary: torch.Tensor, image: torch.Tensor, num_iterations: int | None = None) -> torch.Tensor:
        """`unary` [B, L, H, W] after the CRF, if there is one; arguments as of `forward`."""
        if self.layer is not None:
            return self.layer(unary, image, num_iterations=num_iterations)
        if num_iterations:
            raise ValueError(
                f"num_iterations is {num_iterations}, but this model has no CRF; build it with "
                "build_model(..., crf=CRFRNN(num_labels)) or leave num_iterations out"
            )
        return unary

    def padded_size(self, pixels: int) -> int:
        """Length of an image side after padding: the scores then cover it from its first to its last pixel."""
        return round((self._network_size(pixels) - 1) / self.input_scale) + 1

    def _seen_size(self, size: Sequence[int]) -> tuple[int, int]:
        """Height and width of an image of `size` (H, W) after it is brought to `input_side`."""
        height, width = size
        if self.input_side is None or self.network.training:
            return height, width
        factor = self.input_side / max(height, width)
        return max(1, round(height * factor)), max(1, round(width * factor))

    @property
    def _lead(self) -> int:
        """Cells of padding in front of the network's input. At test time, as released, there are none.

        In training they bring the scores onto every s-th pixel, where the labels of the loss are taken.
        """
        return self.network.origin % self.network.output_stride if self.network.training else 0

    def _network_size(self, pixels: int) -> int:
        cells = math.ceil((pixels - 1) * self.input_scale - 1e-9) + 1
        return self.network.padded_size(cells + self._lead) - self._lead

    def pad(self, image: torch.Tensor, front: int, bottom: int, right: int) -> torch.Tensor:
        """`image` with padding around it: `front` rows and columns at the top left, others at bottom and right."""
        if not (front or bottom or right):
            return image
        fill = self.network.fill
        return F.pad(image - fill, (front, right, front, bottom)) + fill


def check_image(image: torch.Tensor) -> None:
    """Raise where `image` is not a floating-point batch [B, 3, H, W] of finite values."""
    if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
        raise ValueError(
            f"image has shape {list(image.shape)}; wanted a batch of RGB images [B, 3, H, W] (image[None] makes one)"
        )
    if not image.is_floating_point():
        raise TypeError(f"image is {image.dtype}; wanted raw RGB 0..255 as floating point: image.float()")
    if not torch.compiler.is_compiling() and not all_finite(image):
        raise ValueError("image holds values that are not finite; wanted raw RGB 0..255")


def build_model(
    name: str | NetworkFunction = "deeplab-largefov",
    num_labels: int = 21,
    crf: CRFRNN | None = None,
    *,
    width: float = 1.0,
    dropout: float = 0.5,
    input_scale: float = 1.0,
    output_stride: int | None = None,
    extra_labels: int = 0,
    input_side: int | None = None,
    guide_channels: int = 0,
) -> SegmentationModel:
    """The network called `name`, with `crf` on top or (None) plain, randomly initialized.

    Args:
        name: one of `NETWORKS`; `crfrnn.nets.variants` has those of the VGG-16 family in a table. Or a function of your own,
            `NetworkFunction("FILE.py:FUNCTION")`, whose module is taken as it is: without regard to `width` and `dropout`.
        num_labels: L, background included.
        crf: a CRFRNN over as many labels.
        width: factor on the channels of the network, for small machines.
        dropout: probability after fc6 and fc7; in front of the scores of other networks.
        input_scale: see `SegmentationModel`.
        output_stride: None for the network as released; 32, 16 or 8 for another density of DeepLab's scores from the same
            weights, see `crfrnn.nets.deeplab.DeepLab`.
        extra_labels, input_side, guide_channels: see `SegmentationModel`.

    Raises ValueError for an unknown name, fewer than two labels, extra labels below 0, or a CRF over other labels.
    """
    if isinstance(name, str) and name not in NETWORKS:
        hint = ". Pass one of your own as NetworkFunction(name)" if is_own(name) else ""
        raise ValueError(f"there is no network {name!r}; the networks are {', '.join(NETWORKS)}{hint}")
    if crf is not None and crf.num_labels != num_labels:
        raise ValueError(
            f"the network has num_labels={num_labels}, the CRF {crf.num_labels}; give both the same number of labels"
        )
    if extra_labels < 0 or num_labels < 2:
        raise ValueError(
            f"got num_labels={num_labels} and extra_labels={extra_labels}; wanted 2 labels or more, and 0 extra or more"
        )
    network = _build_network(name, num_labels + extra_labels, width, dropout, output_stride)
    return SegmentationModel(network, crf, input_scale, extra_labels, input_side, guide_channels)


def _build_guide(network: Network, channels: int) -> LearnedGuide:
    if not isinstance(network, DeepLab | DeepLabV3MobileNetV2):
        raise ValueError(
            f"guide_channels is {channels}, but {network.variant if isinstance(network, OwnNetwork) else 'an FCN'} has no "
            "early layers to learn a guide from; leave it out, or choose deeplabv3-mobilenetv2 or a deeplab network"
        )
    return LearnedGuide(network.early_channels, channels)


def _build_network(
    name: str | NetworkFunction, num_labels: int, width: float, dropout: float, output_stride: int | None
) -> Network:
    variant = VARIANTS.get(name) if isinstance(name, str) else None
    if output_stride is not None and not isinstance(variant, DeepLabVariant):
        raise ValueError(
            f"output_stride is {output_stride}, but {getattr(name, 'name', name)} has one density of scores; leave it out, "
            "or choose one of the deeplab networks on VGG-16"
        )
    if isinstance(name, NetworkFunction):
        return OwnNetwork(name, num_labels)
    if variant is None:
        return DeepLabV3MobileNetV2(num_labels, width, dropout)
    if isinstance(variant, FCNVariant):
        return FCN(variant, num_labels, width, dropout)
    kind = DeepLabMSc if variant.branches else DeepLab
    return kind(variant, num_labels, width, dropout, output_stride)
