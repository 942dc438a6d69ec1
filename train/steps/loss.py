"""The loss of a stage, as a module, so that gradients can be shared between processes."""

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from crfrnn.data import VOID
from crfrnn.nets import SegmentationModel, restrict
from crfrnn.nets.assembly import Forward
from crfrnn.weak import box_labels, em_adapt, em_fixed, mil_peaks
from train.recipes import EStep, Loss, Source, Stage
from train.steps.crf_loss import crf_loss, regularized
from train.steps.memory import Memory, remembering
from train.steps.mixture import ALONE
from train.steps.pixels import pixel_loss
from train.steps.stream import Batch

KNOWN = ("pixels", "scribbles")
"""annotations that are labels of pixels, void where there is none"""


def weak_loss(logits: Tensor, labels: Tensor, present: Tensor, seeds: Tensor, source: Source) -> tuple[Tensor, Tensor]:
    """Sum of the cross-entropies of images of one source, and the targets it is over.

    Args:
        logits: [B, L, h, w]; the gradient passes through them, not through the estimate.
        labels: [B, h, w]: all that is known of pixels. Maps of boxes where the source has boxes.
        present: bool [B, L], the labels that occur, where the source knows images as a whole.
        seeds: [B], what the order of labels in EM-Adapt follows from.

    Returns the sum, and the targets [B, h, w], void where there is none.
    """
    step = source.e_step
    if source.annotation == "image" and step.method == "mil":
        peaks = mil_peaks(logits, present)
        return -logits.log_softmax(1)[peaks].sum(), painted(peaks)
    target = estimate(logits, labels, present, seeds, source)
    return F.cross_entropy(logits, target, ignore_index=VOID, reduction="sum"), target


def estimate(logits: Tensor, labels: Tensor, present: Tensor, seeds: Tensor, source: Source) -> Tensor:
    """The labels [B, h, w] that the E-step of a source finds likeliest; arguments as of `weak_loss`."""
    step = source.e_step
    if source.annotation == "boxes":
        inside = box_labels(labels, logits.shape[1])
        found = em_fixed(logits, inside, step.foreground_bias, step.background_bias)
        return found.masked_fill(labels == VOID, VOID)
    if step.method == "em-fixed":
        return em_fixed(logits, present, step.foreground_bias, step.background_bias)
    order = turns(seeds, step, logits.shape[1]).to(logits.device)
    return em_adapt(logits, present, step.foreground_portion, step.background_portion, step.rounds, order)


def turns(seeds: Tensor, step: EStep, num_labels: int) -> Tensor:
    """Random numbers [B, rounds, L] that follow from the seed of each image alone, whatever it shares a batch with."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]
    return torch.stack([torch.rand(step.rounds, num_labels, generator=each) for each in generators])


def painted(peaks: Tensor) -> Tensor:
    """Peaks bool [B, L, h, w] as a label map [B, h, w], void elsewhere, to look at."""
    return torch.where(peaks.any(1), peaks.long().argmax(1), VOID)


def target_count(labels: Tensor, present: Tensor, source: Source) -> int:
    """How many targets the loss of images of one source is a sum over; `labels` as the loss looks at them."""
    if source.annotation != "image":
        return int((labels != VOID).sum())
    return int(present.sum()) if source.e_step.method == "mil" else labels.numel()


QUOTAS = ("background", "a label that is present", "labels that are absent")


def quotas(target: Tensor, present: Tensor) -> Tensor:
    """Sums over images of the shares of the positions that went to labels, and what to divide them by: float64 [2, 3].

    The columns are `QUOTAS`: background, each label present but the background, all absent labels together.
    """
    num_labels = present.shape[1]
    flat = rearrange(target, "b h w -> b (h w)")
    pixels = F.one_hot(flat.clamp(max=num_labels), num_labels + 1)[..., :num_labels].sum(1).double()
    shares = (pixels / pixels.sum(1, keepdim=True).clamp(min=1)).cpu()
    present = present.cpu()
    foreground = present.clone()
    foreground[:, 0] = False
    absent = ~present
    absent[:, 0] = False
    totals = torch.stack([shares[:, 0].sum(), shares[foreground].sum(), shares[absent].sum()])
    return torch.stack([totals, torch.tensor([len(shares), int(foreground.sum()), len(shares)], dtype=torch.float64)])


class StageLoss(nn.Module):
    """Cross-entropy of `model`, summed over the pixels that are not void, at every `stride`-th pixel of the labels.

    There is a sum for each of the `sources` of the images, and after them one for each that has a dense CRF loss. Where a
    source does not know the labels of pixels, they are estimated in each call, and `estimated` then holds them, by the
    number of the source.

    Without a CRF only the scores asked for are interpolated; scores at the stride of the loss are taken as they are. A
    network of which nothing learns runs as at test time, without dropout and without a graph; with `as_tested` others run
    so, too. So do, with `fixed_norms`, all layers of batch normalization; without it, those whose weights are frozen.
    `network` is called in place of that of the model.
    """

    def __init__(
        self,
        model: SegmentationModel,
        stride: int,
        sources: Sequence[Source] = ALONE,
        fixed_norms: bool = True,
        loss: Loss | None = None,
        as_tested: bool = False,
        network: Forward | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.stride = stride
        self.sources = sources
        self.fixed_norms = fixed_norms
        self.settings = loss or Loss()
        start = torch.tensor(self.settings.temperature).log()
        self.log_temperature = nn.Parameter(start, requires_grad=self.settings.learn_temperature)
        self.joint = any(source.joint for source in sources)
        self.estimated: dict[int, Tensor] = {}
        self.frozen = not any(parameter.requires_grad for parameter in model.network.parameters())
        self.as_tested = as_tested
        self.network = network

    @property
    def learned(self) -> list[nn.Parameter]:
        """What is learned beside the model."""
        return [self.log_temperature] if self.settings.learn_temperature else []

    def train(self, mode: bool = True) -> "StageLoss":
        super().train(mode)
        if self.frozen or self.as_tested:
            self.model.network.eval()
        for layer in self.model.network.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                learns = any(parameter.requires_grad for parameter in layer.parameters())
                layer.train(layer.training and learns and not self.fixed_norms)
        return self

    def forward(
        self, images: Tensor, labels: Tensor, present: Tensor, allowed: Tensor, seeds: Tensor, source_of: Tensor
    ) -> Tensor:
        """The sums, float32 [T] as in `term_weights`.

        Arguments are the fields of `train.steps.stream.Batch`, on the device of the model.
        """
        logits, labels = self.logits(images, allowed), self.strided(labels)
        self.estimated = {}
        sums = [logits.new_zeros(()) for _ in self.sources]
        pairs = {number: logits.new_zeros(()) for number in regularized(self.sources)}
        for number, source in enumerate(self.sources):
            own = source_of == number
            if not own.any():
                continue
            scores = logits if own.all() else logits[own]
            if self.joint and not source.joint:
                scores = self.model.aggregate(scores)
            known = present[own, : scores.shape[1]]
            if source.annotation in KNOWN:
                sums[number] = pixel_loss(scores, labels[own], self.settings, self.log_temperature.exp())
            else:
                sums[number], self.estimated[number] = weak_loss(scores, labels[own], known, seeds[own], source)
            if number in pairs:
                pairs[number] = crf_loss(scores, images[own], self.stride, source.crf_loss)
        return torch.stack([*sums, *pairs.values()])

    def strided(self, labels: Tensor) -> Tensor:
        """The labels that the loss looks at, [B, h, w]."""
        return labels[:, :: self.stride, :: self.stride]

    def logits(self, images: Tensor, allowed: Tensor) -> Tensor:
        """The logits there, [B, L, h, w]; followed by those of extra labels where a source is joint."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            if self.model.crf is None:
                scores = (self.model.all_scores if self.joint else self.model.scores)(images, self.network).float()
                return possible(self.at_labels(scores, images), allowed)
            unary = possible(self.model.unary(images, self.network), allowed)
        return self.model.refine(unary, images)[:, :, :: self.stride, :: self.stride]

    @property
    def aligned(self) -> bool:
        """Whether the first score lies at the first pixel, and scores are spread over the pixels of the image."""
        tested = not self.model.network.training
        return not (tested and (self.model.network.origin or self.model.input_side))

    def at_labels(self, scores: Tensor, images: Tensor) -> Tensor:
        """Scores of the padded images at the pixels of `strided`; interpolated there alone where their span allows it."""
        height, width = self.strided(images[:, 0]).shape[1:]
        spans = [(n - 1) * self.model.network.output_stride / self.model.input_scale for n in scores.shape[-2:]]
        if not self.aligned or any(span % self.stride for span in spans):
            return self.model.upsample(scores, images.shape[-2:])[:, :, :: self.stride, :: self.stride]
        size = [round(span / self.stride) + 1 for span in spans]
        return F.interpolate(scores, size=size, mode="bilinear", align_corners=True)[..., :height, :width]


def stage_loss(
    model: SegmentationModel, stage: Stage, sources: Sequence[Source], fixed_norms: bool, memory: Memory
) -> StageLoss:
    """The loss of a stage that trains `model`; `memory` holds what a frozen trunk gives, if the stage wants that."""
    network = remembering(model, memory, stage.trunk_memory) if stage.trunk_memory else None
    return StageLoss(model, stage.loss_stride, sources, fixed_norms, stage.loss, stage.as_tested, network)


def possible(scores: Tensor, allowed: Tensor) -> Tensor:
    """Scores [B, L, h, w] restricted to the labels that `allowed`, bool [B, L or more], says are possible."""
    return scores if allowed.all() else restrict(scores, allowed[:, : scores.shape[1]])


def counted(batch: Batch, stride: int, sources: Sequence[Source] = ALONE) -> Tensor:
    """How many targets, or images, each term of the loss is a sum over, float64 [T] as in `term_weights`."""
    labels = batch.labels[:, ::stride, ::stride]
    counts = []
    for number, source in enumerate(sources):
        own = batch.source_of == number
        known = labels if own.all() else labels[own]  # a copy takes longer than all the rest
        counts.append(target_count(known, batch.present[own], source))
    images = [int((batch.source_of == number).sum()) for number in regularized(sources)]
    return torch.tensor(counts + images, dtype=torch.float64)


def term_weights(sources: Sequence[Source]) -> Tensor:
    """What the T terms of the loss are multiplied by, float64: the cross-entropies of all sources, then their CRF losses."""
    pairs = [sources[number].weight * sources[number].crf_loss.weight for number in regularized(sources)]
    return torch.tensor([source.weight for source in sources] + pairs, dtype=torch.float64)
