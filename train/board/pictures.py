"""The pictures of a run. No side is above `eval.pictures.sheet.SIDE` pixels: TensorBoard cuts larger ones off."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from crfrnn import CRFRNN
from crfrnn.data import VOID
from eval.pictures.figures import Example, confusion_figure, matrix_figure, panel
from eval.pictures.sheet import SIDE
from eval.scoring.tables import kernel_name
from train.board.tags import COMPATIBILITY, CONFUSION, SHEETS
from train.steps.stream import Batch


def write_sheets(writer: SummaryWriter, sheets: Mapping[str, Tensor], step: int) -> None:
    """A sheet for each image, by name."""
    for name, picture in sheets.items():
        writer.add_image(f"{SHEETS}/{name}", picture, step)


def write_confusion(writer: SummaryWriter, row: str, counts: Tensor, classes: Sequence[str], step: int) -> None:
    """The confusion matrix of a row: where the pixels of every class went."""
    write_figure(writer, f"{CONFUSION}/{row}", confusion_figure(counts, classes, row), step)


def write_label_terms(writer: SummaryWriter, crf: CRFRNN, classes: Sequence[str], step: int) -> None:
    """The compatibility as a labeled heat map, and kernel weights by label where they have labels."""
    compatibility = crf.cell.compatibility.detach().cpu()
    figure = matrix_figure(compatibility, classes, "penalty of row beside column")
    write_figure(writer, f"{COMPATIBILITY}/penalties", figure, step)
    for kernel, weights in zip(crf.kernels, crf.cell.kernel_weights.detach().cpu(), strict=True):
        name = kernel_name(kernel)
        if weights.ndim == 1:
            for label, weight in zip(classes, weights, strict=True):
                writer.add_scalar(f"kernel weights by label, {name}/{label}", weight, step)
        elif weights.ndim == 2:
            write_figure(writer, f"kernel weights between labels/{name}", matrix_figure(weights, classes, name), step)


def write_estimate(
    writer: SummaryWriter, source: str, batch: Batch, index: int, target: Tensor, classes: Sequence[str], step: int
) -> None:
    """One image of a batch beside the labels [h, w] estimated for it, and the boxes where these are known."""
    image = batch.images[index].round().to(torch.uint8)
    target = F.interpolate(target[None, None].float(), size=image.shape[1:], mode="nearest-exact")[0, 0].long()
    known = batch.labels[index]
    maps = {"estimated": target} if bool((known == VOID).all()) else {"boxes": known, "estimated": target}
    figure = panel([Example(batch.names[index], image, maps)], classes)
    write_figure(writer, f"estimated labels of {source}", figure, step)


def write_figure(writer: SummaryWriter, tag: str, figure: Figure, step: int) -> None:
    """A figure, with as many dots as fit."""
    figure.set_dpi(min(figure.dpi, int(SIDE / max(figure.get_size_inches()))))
    writer.add_figure(tag, figure, step)
