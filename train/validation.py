"""Scores of the model on the validation list while it trains."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn as nn
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from crfrnn.data import Sample
from crfrnn.nets import SegmentationModel
from eval.pictures.iterations import largest_labels
from eval.pictures.sheet import sheet
from eval.scoring.evaluate import confusions, evenly_spaced
from eval.scoring.methods import Method, network_alone, with_crf
from eval.scoring.metrics import comparable_scores
from train.board import curves, pictures
from train.board.tags import CRF_RNN, NETWORK
from train.state import Run

SHEETS = 4
IMAGES_PER_SHEET = 25  # a sheet takes as long as one or two images


def validate(run: Run, model: SegmentationModel, writer: SummaryWriter | None, step: int) -> tuple[float, str]:
    """Mean IoU in percent of the model as a whole, and all rows as text; TensorBoard gets scores and pictures.

    The mean is over the classes that the truth holds, at every step the same.
    """
    methods: list[Method] = [network_alone(NETWORK)]
    if model.layer is not None:
        methods.append(with_crf(model.layer, {model.layer.num_iterations: CRF_RNN}))
    dataset = run.validation
    indices = some(len(dataset), run.recipe.val_images)
    sheets = Sheets(run, model, chosen([dataset.names[i] for i in indices]))
    with timed(model) as seconds:
        counted = confusions(model, dataset, methods, indices=indices, observer=sheets)
    scores = {row: comparable_scores(confusion.counts, dataset.classes) for row, confusion in counted.items()}
    drawn = dict(sorted(run.group.gather(list(sheets.drawn.items()))))
    last = list(scores)[-1]
    if writer is not None:
        curves.write_scores(writer, scores, step)
        curves.write_seconds(writer, seconds, step)
        pictures.write_sheets(writer, drawn, step)
        pictures.write_confusion(writer, last, counted[last].counts, dataset.classes, step)
        if model.crf is not None:
            pictures.write_label_terms(writer, model.crf, dataset.classes, step)
        writer.flush()
    text = "  ".join(f"{row} {values.mean_iou:.2f}" for row, values in scores.items())
    return scores[last].mean_iou, f"mean IoU over {len(indices)} images  {text}"


class Sheets:
    """Draws the sheets of some images during an evaluation, by name: an observer for `eval.scoring.evaluate.confusions`."""

    def __init__(self, run: Run, model: SegmentationModel, names: list[str]) -> None:
        self.model, self.names, self.classes = model, names, run.validation.classes
        self.labels = run.recipe.belief_labels
        self.drawn: dict[str, Tensor] = {}

    def __call__(self, sample: Sample, unary: Tensor, labels: dict[str, Tensor]) -> None:
        if sample.name in self.names:
            shown = self.labels or largest_labels(sample.labels, self.classes, 3)
            prediction = list(labels.values())[-1]
            self.drawn[sample.name] = sheet(sample, unary, prediction, self.model.layer, self.classes, shown)


def chosen(names: list[str]) -> list[str]:
    """The images that get sheets: few, so that the sheets cost little beside the scores."""
    return evenly_spaced(names, min(SHEETS, max(1, len(names) // IMAGES_PER_SHEET)))


@contextmanager
def timed(model: SegmentationModel) -> Iterator[Mapping[str, float]]:
    """Mean seconds of a call of the model's network and of its CRF, known when the body has ended."""
    parts: dict[str, nn.Module] = {"network": model.network}
    if model.crf is not None:
        parts["CRF"] = model.crf
    taken: dict[str, list[float]] = {name: [] for name in parts}
    means: dict[str, float] = {}
    hooks = []
    for name, part in parts.items():
        began: list[float] = []
        hooks.append(part.register_forward_pre_hook(lambda *_, began=began: began.append(now())))
        hooks.append(part.register_forward_hook(lambda *_, n=name, began=began: taken[n].append(now() - began.pop())))
    try:
        yield means
    finally:
        for hook in hooks:
            hook.remove()
    means |= {name: sum(values) / len(values) for name, values in taken.items() if values}


def now() -> float:
    """The time when the device has done all it was asked to."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def some(total: int, count: int | None) -> list[int]:
    """`count` of the numbers below `total`, evenly spaced; all for None."""
    count = total if count is None else min(count, total)
    return [i * total // count for i in range(count)]
