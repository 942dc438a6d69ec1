"""The dense CRF loss of the images of a source, on the grid of pixels that the loss of the stage looks at."""

from collections.abc import Sequence

from torch import Tensor

from crfrnn.data.transforms import padded
from crfrnn.kernels import appearance_kernel
from crfrnn.losses import dense_crf_loss
from train.recipes import CrfLoss, Source


def regularized(sources: Sequence[Source]) -> list[int]:
    """The numbers of the sources whose images have a dense CRF loss."""
    return [number for number, source in enumerate(sources) if source.crf_loss.weight]


def crf_loss(logits: Tensor, images: Tensor, stride: int, settings: CrfLoss) -> Tensor:
    """Sum over images of their dense CRF losses, each a mean over its own pixels; a number.

    Args:
        logits: [B, L, h, w], at every `stride`-th pixel.
        images: [B, 3, H, W], 0..255. What `PadToCrop` added to them is left out.
    """
    logits = logits[:, :, :: settings.stride, :: settings.stride]
    step = stride * settings.stride
    images = images[:, :, ::step, ::step]
    kernel = appearance_kernel(settings.theta_alpha / step, settings.theta_beta, weight=1.0)
    inside = ~padded(images)
    return sum(
        (
            dense_crf_loss(own.softmax(1), image, [kernel], mask)
            for own, image, mask in zip(logits.split(1), images.split(1), inside.split(1), strict=True)
        ),
        start=logits.new_zeros(()),
    )
