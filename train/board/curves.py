"""The curves of a run."""

from collections.abc import Mapping

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from crfrnn import CRFRNN, Kernel
from eval.scoring.metrics import Scores
from eval.scoring.tables import kernel_name
from train.board.tags import BANDWIDTHS, DISTANCE, MEAN_IOU, SECONDS, WEIGHTS
from train.steps.loss import QUOTAS


def write_parameters(writer: SummaryWriter, crf: CRFRNN, start: Tensor, step: int) -> None:
    """Kernel weights (means over labels), bandwidths, and how far the compatibility is from `start`."""
    for kernel, weights, thetas in zip(crf.kernels, crf.cell.kernel_weights.detach(), crf.bandwidths, strict=True):
        own = weights.diagonal() if weights.ndim == 2 else weights
        writer.add_scalar(f"{WEIGHTS}/{kernel_name(kernel)}", own.mean(), step)
        for name, theta in zip(bandwidth_names(kernel), thetas.detach(), strict=True):
            writer.add_scalar(f"{BANDWIDTHS}/{name}", theta, step)
    writer.add_scalar(DISTANCE, (crf.cell.compatibility.detach() - start).norm(), step)


def bandwidth_names(kernel: Kernel) -> list[str]:
    """The names of a kernel's bandwidths with their units, in the order of `kernel.bandwidths`."""
    guide = "color [gray levels]" if kernel.guide == "image" else "features"
    names = []
    for axis, theta in (("position [pixels]", kernel.theta_position), (guide, kernel.theta_guide)):
        if isinstance(theta, tuple):
            names += [f"{kernel_name(kernel)}, {axis} {number}" for number in range(len(theta))]
        elif theta:
            names.append(f"{kernel_name(kernel)}, {axis}")
    return names


def write_scores(writer: SummaryWriter, scores: Mapping[str, Scores], step: int) -> None:
    """Mean IoU, accuracies and IoU by class of every row; absent classes are left out."""
    for row, values in scores.items():
        writer.add_scalar(f"{MEAN_IOU}/{row}", values.mean_iou, step)
        writer.add_scalar(f"accuracy [percent]/pixels, {row}", values.pixel_accuracy, step)
        writer.add_scalar(f"accuracy [percent]/mean over classes, {row}", values.class_accuracy, step)
        for name in values.present:
            writer.add_scalar(f"IoU by class [percent], {row}/{name}", values.iou[name], step)


def write_seconds(writer: SummaryWriter, seconds: Mapping[str, float], step: int) -> None:
    """What an image of the validation list takes, by part of the model."""
    for part, value in seconds.items():
        writer.add_scalar(f"{SECONDS}/{part}", value, step)


def write_quotas(writer: SummaryWriter, source: str, shares: Tensor, step: int) -> None:
    """Shares of the image that the estimated labels of a source have; `shares` as `train.steps.loss.quotas` sums them."""
    for name, total, count in zip(QUOTAS, *shares.tolist(), strict=True):
        if count:
            writer.add_scalar(f"share of {source}/{name}", total / count, step)
