"""The loss of a stage, as a module, so that gradients can be shared between processes."""

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from crfrnn.nets import SegmentationModel, restrict
from train.estimate import target_count, weak_loss
from train.mixture import ALONE
from train.recipes import Source
from train.stream import Batch


class StageLoss(nn.Module):
    """Cross-entropy of `model`, summed over the pixels that are not void, at every `stride`-th pixel of the labels.

    There is a sum for each of the `sources` of the images. Where a source does not know the labels of pixels, they are
    estimated anew in each call (see train.estimate), and `estimated` holds them behind it, by the number of the source.

    Without a CRF only the scores asked for are interpolated; scores at the stride of the loss are taken as they are. A
    network of which nothing learns runs as at test time, without dropout and without a graph.
    """

    def __init__(self, model: SegmentationModel, stride: int, sources: Sequence[Source] = ALONE) -> None:
        super().__init__()
        self.model = model
        self.stride = stride
        self.sources = sources
        self.joint = any(source.joint for source in sources)
        self.estimated: dict[int, Tensor] = {}
        self.frozen = not any(parameter.requires_grad for parameter in model.network.parameters())

    def train(self, mode: bool = True) -> "StageLoss":
        super().train(mode)
        if self.frozen:
            self.model.network.eval()
        return self

    def forward(
        self, images: Tensor, labels: Tensor, present: Tensor, allowed: Tensor, seeds: Tensor, source_of: Tensor
    ) -> Tensor:
        """The sums, float32 [S]; arguments as the fields of `train.stream.Batch`, on the device of the model."""
        logits, labels = self.logits(images, allowed), self.strided(labels)
        self.estimated = {}
        sums = [logits.new_zeros(()) for _ in self.sources]
        for number, source in enumerate(self.sources):
            own = source_of == number
            if not own.any():
                continue
            scores = logits if own.all() else logits[own]
            if self.joint and not source.joint:
                scores = self.model.aggregate(scores)
            known = present[own, : scores.shape[1]]
            sums[number], target = weak_loss(scores, labels[own], known, seeds[own], source)
            if source.annotation != "pixels":
                self.estimated[number] = target
        return torch.stack(sums)

    def strided(self, labels: Tensor) -> Tensor:
        """The labels that the loss looks at, [B, h, w]."""
        return labels[:, :: self.stride, :: self.stride]

    def logits(self, images: Tensor, allowed: Tensor) -> Tensor:
        """The logits there, [B, L, h, w]; those of extra labels behind them where a source is joint."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            if self.model.crf is None and self.model.network.training:
                scores = (self.model.all_scores if self.joint else self.model.scores)(images).float()
                size = self.strided(images[:, 0]).shape[1:]
                return possible(F.interpolate(scores, size=size, mode="bilinear", align_corners=True), allowed)
            unary = possible(self.model.unary(images), allowed)
        return self.model.refine(unary, images)[:, :, :: self.stride, :: self.stride]


def possible(scores: Tensor, allowed: Tensor) -> Tensor:
    """Scores [B, L, h, w] restricted to the labels that `allowed`, bool [B, L or more], says are possible."""
    return scores if allowed.all() else restrict(scores, allowed[:, : scores.shape[1]])


def counted(batch: Batch, stride: int, sources: Sequence[Source] = ALONE) -> Tensor:
    """How many targets the loss of each source is a sum over, float64 [S]."""
    labels = batch.labels[:, ::stride, ::stride]
    counts = []
    for number, source in enumerate(sources):
        own = batch.source_of == number
        counts.append(target_count(labels[own], batch.present[own], source))
    return torch.tensor(counts, dtype=torch.float64)
