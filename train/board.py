"""What TensorBoard shows of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from crfrnn import CRFRNN
from crfrnn.data import VOID
from eval.pictures.figures import Example, matrix_figure, panel
from eval.scoring.metrics import Scores
from eval.scoring.tables import kernel_name
from train.steps.loss import QUOTAS
from train.steps.stream import Batch

BOOKKEEPING = ("workers", "save_every", "keep_every", "validate_every", "val_images", "belief_labels")
"""Fields of a recipe that change nothing in what is learned."""


def write_parameters(writer: SummaryWriter, crf: CRFRNN, step: int) -> None:
    """Kernel weights (means over labels) and bandwidths."""
    for kernel, weights, thetas in zip(crf.kernels, crf.cell.kernel_weights.detach(), crf.bandwidths, strict=True):
        name = kernel_name(kernel)
        own = weights.diagonal() if weights.ndim == 2 else weights
        writer.add_scalar(f"kernel weight/{name}", own.mean(), step)
        axes = [axis for axis, theta in (("position", kernel.theta_position), ("guide", kernel.theta_guide)) if theta]
        for axis, theta in zip(axes, thetas.detach(), strict=True):
            writer.add_scalar(f"bandwidth/{name}, {axis}", theta, step)


def write_label_terms(writer: SummaryWriter, crf: CRFRNN, classes: Sequence[str], step: int) -> None:
    """The compatibility as a labeled heat map, and kernel weights by label where they have labels."""
    compatibility = crf.cell.compatibility.detach().cpu()
    writer.add_figure("compatibility", matrix_figure(compatibility, classes, "penalty of row beside column"), step)
    for kernel, weights in zip(crf.kernels, crf.cell.kernel_weights.detach().cpu(), strict=True):
        name = kernel_name(kernel)
        if weights.ndim == 1:
            for label, weight in zip(classes, weights, strict=True):
                writer.add_scalar(f"kernel weight of {name}/{label}", weight, step)
        elif weights.ndim == 2:
            writer.add_figure(f"kernel weights of {name}", matrix_figure(weights, classes, name), step)


def write_scores(writer: SummaryWriter, scores: Mapping[str, Scores], step: int) -> None:
    """Mean IoU, accuracies and IoU by class of every row; absent classes are left out."""
    for row, values in scores.items():
        writer.add_scalar(f"mean IoU/{row}", values.mean_iou, step)
        writer.add_scalar(f"pixel accuracy/{row}", values.pixel_accuracy, step)
        writer.add_scalar(f"class accuracy/{row}", values.class_accuracy, step)
        for name in values.present:
            writer.add_scalar(f"per-class IoU of {row}/{name}", values.iou[name], step)


def write_panels(writer: SummaryWriter, examples: Sequence[Example], classes: Sequence[str], step: int) -> None:
    """Input, truth and labels of the pictured images."""
    for example in examples:
        writer.add_figure(f"panels/{example.name}", panel([example], classes), step)


def write_quotas(writer: SummaryWriter, source: str, shares: Tensor, step: int) -> None:
    """Shares of the image that the estimated labels of a source have; `shares` as `train.steps.loss.quotas` sums them."""
    for name, total, count in zip(QUOTAS, *shares.tolist(), strict=True):
        if count:
            writer.add_scalar(f"share of {source}/{name}", total / count, step)


def write_estimate(
    writer: SummaryWriter, source: str, batch: Batch, index: int, target: Tensor, classes: Sequence[str], step: int
) -> None:
    """One image of a batch beside the labels [h, w] estimated for it, and the boxes where these are known."""
    image = batch.images[index].round().to(torch.uint8)
    target = F.interpolate(target[None, None].float(), size=image.shape[1:], mode="nearest-exact")[0, 0].long()
    known = batch.labels[index]
    maps = {"estimated": target} if bool((known == VOID).all()) else {"boxes": known, "estimated": target}
    figure = panel([Example(batch.names[index], image, maps)], classes)
    writer.add_figure(f"estimated labels of {source}", figure, step)


def hparams(recipe: Any, prefix: str = "") -> dict[str, str | float | int | bool]:
    """What sets a recipe apart, as the flat table TensorBoard wants: numbers and words by dotted name.

    That is every field that has no default or another value than its default; a hundred columns would hide them.
    """
    flat: dict[str, str | float | int | bool] = {}
    for own in fields(recipe):
        value = getattr(recipe, own.name)
        if is_dataclass(value):
            flat |= hparams(value, f"{prefix}{own.name}.")
        elif isinstance(value, Mapping):
            for name, inner in value.items():
                flat |= hparams(inner, f"{prefix}{name}.")
        elif own.name not in BOOKKEEPING and value != own.default:
            flat[prefix + own.name] = value if isinstance(value, str | float | int | bool) else str(value)
    return flat
