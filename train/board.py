"""What TensorBoard shows of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from crfrnn import CRFRNN, Kernel
from crfrnn.data import VOID, Sample
from crfrnn.nets import SegmentationModel, restrict
from eval.figures import Example, belief_picture, matrix_figure, panel
from eval.metrics import Scores


def kernel_name(kernel: Kernel) -> str:
    """What a kernel is called: by what it looks at beside positions."""
    return {None: "smoothness", "image": "appearance"}.get(kernel.guide) or str(kernel.guide)


def write_crf(writer: SummaryWriter, crf: CRFRNN, step: int) -> None:
    """Kernel weights (means over labels) and bandwidths."""
    for kernel, weights, thetas in zip(crf.kernels, crf.cell.kernel_weights.detach(), crf.bandwidths, strict=True):
        name = kernel_name(kernel)
        own = weights.diagonal() if weights.ndim == 2 else weights
        writer.add_scalar(f"kernel weight/{name}", own.mean(), step)
        axes = [axis for axis, theta in (("position", kernel.theta_position), ("guide", kernel.theta_guide)) if theta]
        for axis, theta in zip(axes, thetas.detach(), strict=True):
            writer.add_scalar(f"bandwidth/{name}, {axis}", theta, step)


def write_label_terms(writer: SummaryWriter, crf: CRFRNN, classes: Sequence[str], step: int) -> None:
    """The compatibility as a labelled heat map, and kernel weights by label where they have labels."""
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
            writer.add_scalar(f"IoU of {row}/{name}", values.iou[name], step)


def write_panels(writer: SummaryWriter, examples: Sequence[Example], classes: Sequence[str], step: int) -> None:
    """Input, truth and labels of the pictured images."""
    for example in examples:
        writer.add_figure(f"panels/{example.name}", panel([example], classes), step)


@torch.no_grad()
def write_iterations(
    writer: SummaryWriter,
    model: SegmentationModel,
    sample: Sample,
    classes: Sequence[str],
    labels: Sequence[str],
    iterations: int,
    allowed: Tensor | None = None,
) -> None:
    """Belief maps of `labels`, free energy per pixel and residual of one image, the mean-field iteration as the step."""
    assert model.crf is not None
    image = sample.image[None].to(next(model.parameters()).device, torch.float32)
    unary = restrict(model.unary(image), allowed)
    for state in model.crf.iterate(unary, image, num_iterations=iterations):
        for label in labels:
            belief = state.beliefs[0, classes.index(label)].cpu()
            writer.add_image(f"beliefs of {sample.name}/{label}", belief_picture(belief), state.iteration)
        pixels = sample.labels.numel()
        writer.add_scalar(f"free energy per pixel/{sample.name}", state.free_energy()[0] / pixels, state.iteration)
        if state.iteration:
            writer.add_scalar(f"residual/{sample.name}", state.residual()[0], state.iteration)


def largest_labels(truth: Tensor, classes: Sequence[str], count: int) -> list[str]:
    """The `count` classes that cover most of `truth` [H, W]."""
    pixels = torch.bincount(truth[truth != VOID].flatten().long(), minlength=len(classes))
    order = pixels.argsort(descending=True, stable=True)[:count]
    return [classes[i] for i in order if pixels[i]]


def hparams(recipe: Mapping[str, Any]) -> dict[str, str | float | int | bool]:
    """A nested recipe as the flat table TensorBoard wants: numbers and words by dotted name."""
    flat: dict[str, str | float | int | bool] = {}
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{name}": inner for name, inner in hparams(value).items()}
        else:
            flat[key] = value if isinstance(value, str | float | int | bool) else str(value)
    return flat
