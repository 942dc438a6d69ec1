"""The loss of a stage, as a module, so that gradients can be shared between processes."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from crfrnn.data import VOID
from crfrnn.nets import SegmentationModel, restrict
from train.recipes import Stage


class StageLoss(nn.Module):
    """Cross-entropy of `model`, summed over the pixels that are not void, at every `stride`-th pixel of the labels.

    Without a CRF only the scores asked for are interpolated; scores at the stride of the loss are taken as they are. A
    network of which nothing learns runs as at test time, without dropout and without a graph.
    """

    def __init__(self, model: SegmentationModel, stride: int) -> None:
        super().__init__()
        self.model = model
        self.stride = stride
        self.frozen = not any(parameter.requires_grad for parameter in model.network.parameters())

    def train(self, mode: bool = True) -> "StageLoss":
        super().train(mode)
        if self.frozen:
            self.model.network.eval()
        return self

    def forward(self, images: Tensor, labels: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Images [B, 3, H, W] in 0..255, labels [B, H, W] and which are possible, [B, L] -> the sum, float32."""
        return F.cross_entropy(self.logits(images, allowed), self.strided(labels), ignore_index=VOID, reduction="sum")

    def strided(self, labels: Tensor) -> Tensor:
        """The labels that the loss looks at, [B, h, w]."""
        return labels[:, :: self.stride, :: self.stride]

    def logits(self, images: Tensor, allowed: Tensor | None = None) -> Tensor:
        """The logits there, [B, L, h, w]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            if self.model.crf is None and self.model.network.training:
                scores = self.model.scores(images).float()
                size = self.strided(images[:, 0]).shape[1:]
                return restrict(F.interpolate(scores, size=size, mode="bilinear", align_corners=True), allowed)
            unary = restrict(self.model.unary(images), allowed)
        return self.model.refine(unary, images)[:, :, :: self.stride, :: self.stride]


def counted(labels: Tensor, stride: int) -> int:
    """How many pixels of labels [B, H, W] a loss of this stride is over."""
    return int((labels[:, ::stride, ::stride] != VOID).sum())


def shares(stage: Stage, world: int) -> int:
    """Images per pass of one of `world` processes. Raises ValueError where the batch cannot be shared out evenly."""
    size, rest = divmod(stage.batch_size, world * stage.accumulate)
    if rest or not size:
        raise ValueError(
            f"batch_size is {stage.batch_size}; wanted a multiple of the {world} processes times the {stage.accumulate} "
            "passes of a step, so that all of them have equally much to do"
        )
    if stage.crop is None and size > 1:
        raise ValueError(
            f"crop is None, so images keep their sizes, but a pass has {size} of them; wanted one: raise accumulate to "
            f"{stage.batch_size // world}, or set a crop"
        )
    return size
