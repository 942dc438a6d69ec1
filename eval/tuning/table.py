"""Published, searched and learned CRF parameters side by side, on images that they were not found on.

python -m eval.tuning.table --unaries SCORES.npz --data VOCdevkit --crf searched=A/crf.json matrix=B/crf.json --out OUT

Scores every image of the list that the search and the learning leave over, given the same --sample and --draw. Writes
OUT.json, OUT.txt and OUT.png. "seconds": processor time of one thread per image, from the lattices to the logits.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from matplotlib.figure import Figure
from tqdm import tqdm

from crfrnn import CRFRNN
from crfrnn._command import description, exit_code, exit_with
from crfrnn._files import replacing
from crfrnn.presets import PUBLISHED
from eval.inputs.crf_file import read_crf
from eval.inputs.flags import check_counts, check_folder, check_min_belief, check_not_negative
from eval.pictures.figures import save_figure
from eval.pictures.formats import FigureFormat
from eval.scoring.metrics import Confusion, Scores, check_classes
from eval.scoring.record import origin, write_json
from eval.scoring.tables import Table, TableFile, check_table, write_tables
from eval.tuning.scored_images import ScoredImages, ScoreSource
from eval.tuning.workers import Workers

NETWORK = "network alone"


@dataclass(frozen=True)
class Options:
    source: Annotated[ScoreSource, tyro.conf.arg(name="")]
    out: Path
    """where to write, without an ending"""
    crf: tuple[str, ...] = ()
    """files of parameters, as NAME=FILE"""
    iterations: int | None = None
    """mean-field iterations T of the --crf rows; by default those of each file"""
    min_belief: float = 0.0
    """see CRFRNN: 0.02 saves time for next to no difference"""
    message_tolerance: float = 0.0
    """see CRFRNN: 0.01 saves time for next to no difference"""
    subset: tuple[str, ...] = ()
    """a column more: mean IoU over these"""
    workers: int = 1
    """processes, with one thread each"""
    table: TableFile = None
    figures: FigureFormat = "png"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = tyro.cli(Options, args=argv, prog="python -m eval.tuning.table", description=description(__doc__))
    return exit_code("eval.tuning.table", lambda: run(options, argv))


def run(options: Options, argv: Sequence[str]) -> int:
    """Score, print and write. Raises OSError or ValueError where that cannot be done."""
    check_table(options.table)
    check_counts(0, iterations=options.iterations)
    check_counts(1, workers=options.workers)
    check_not_negative(message_tolerance=options.message_tolerance)
    check_folder("the folder of --out", options.out.parent)
    if not options.out.name:
        raise ValueError("--out names no file; wanted a path without an ending, such as results/table")
    images = ScoredImages(options.source, rest=True)
    check_min_belief(options.min_belief, len(images.classes))
    check_classes(options.subset, images.classes)
    layers = {name: fixed.build(len(images.classes)) for name, fixed in PUBLISHED.items()}
    layers |= read_layers(options.crf, options.iterations, len(images.classes), taken=[NETWORK, *layers])
    for layer in layers.values():
        layer.min_belief, layer.message_tolerance = options.min_belief, options.message_tolerance
    labeling = Labeling(images, layers)
    confusions = {name: Confusion(images.classes) for name in (NETWORK, *layers)}
    seconds = dict.fromkeys(confusions, 0.0)
    with Workers(labeling, options.workers) as workers:
        for counts in tqdm(workers.map(range(len(images))), "images", len(images), unit="image"):
            for name, (matrix, time_taken) in counts.items():
                confusions[name].add(matrix)
                seconds[name] += time_taken / len(images)
    scores = {name: confusion.scores() for name, confusion in confusions.items()}
    rows = table(scores, seconds, options.subset)
    facts = origin("eval.tuning.table", argv) | {
        "images": images.names,
        "rows": {name: plain(row, options.subset) | {"seconds": seconds[name]} for name, row in scores.items()},
    }
    write_json(options.out.with_name(options.out.name + ".json"), facts)
    with replacing(options.out.with_name(options.out.name + ".txt")) as partial:
        partial.write_text(f"{rows}\n", encoding="utf-8")
    save_figure(gains(scores), options.out.with_name(f"{options.out.name}.{options.figures}"))
    print(f"{len(images)} images, percent\n\n{rows}")
    write_tables(options.table, {"table": rows})
    return 0


def read_layers(
    arguments: Sequence[str], iterations: int | None, labels: int, taken: Sequence[str]
) -> dict[str, CRFRNN]:
    """The layers in files given as NAME=FILE. Raises ValueError for other arguments, and where labels differ in number."""
    layers: dict[str, CRFRNN] = {}
    for argument in arguments:
        name, equals, file = argument.partition("=")
        if not equals or not name or name in (*taken, *layers):
            raise ValueError(f"got --crf {argument!r}; wanted NAME=FILE, every name once")
        layers[name] = read_crf(Path(file))
        if layers[name].num_labels != labels:
            raise ValueError(f"{file} is over {layers[name].num_labels} labels, the data set has {labels}")
        if iterations is not None:
            layers[name].num_iterations = iterations
    return layers


class Labeling:
    """Labels an image in every way; counts pixels by true and predicted label and takes the time."""

    def __init__(self, images: ScoredImages, layers: Mapping[str, CRFRNN]) -> None:
        self.images, self.layers = images, layers

    @torch.no_grad()
    def __call__(self, number: int) -> dict[str, tuple[torch.Tensor, float]]:
        scored = self.images[number]
        results = {}
        for name in (NETWORK, *self.layers):
            began = time.process_time()
            logits = scored.unary if name == NETWORK else self.layers[name](scored.unary, scored.image)
            seconds = time.process_time() - began
            confusion = Confusion(self.images.classes)
            confusion.add_logits(logits, scored.truth)
            results[name] = (confusion.counts, seconds)
        return results


def table(scores: Mapping[str, Scores], seconds: Mapping[str, float], classes: Sequence[str]) -> Table:
    """A row for every way, with its gain over the network alone."""
    subset = [f"mean IoU\nof {len(classes)}"] if classes else []
    header = ["percent", "mean\nIoU", "gain", *subset, "pixel\naccuracy", "class\naccuracy", "seconds"]
    rows = []
    for name, row in scores.items():
        numbers = [row.mean_iou, row.mean_iou - scores[NETWORK].mean_iou]
        numbers += [row.mean_over(classes)] if classes else []
        cells = [f"{number:.2f}" for number in (*numbers, row.pixel_accuracy, row.class_accuracy)]
        rows.append([name, *cells, "-" if name == NETWORK else f"{seconds[name]:.3f}"])
    return Table(header, rows)


def plain(row: Scores, classes: Sequence[str]) -> dict[str, Any]:
    """A row for the JSON file; mean IoU is over the classes that occur."""
    subset = {"subset_mean_iou": row.mean_over(classes)} if classes else {}
    return {
        "mean_iou": row.mean_iou,
        **subset,
        "pixel_accuracy": row.pixel_accuracy,
        "class_accuracy": row.class_accuracy,
        "iou": {name: row.iou[name] for name in row.present},
    }


def gains(scores: Mapping[str, Scores]) -> Figure:
    """Bars: points of mean IoU over the network alone; published parameters in gray."""
    rows = [(name, row.mean_iou - scores[NETWORK].mean_iou) for name, row in scores.items() if name != NETWORK]
    names, points = zip(*reversed(rows), strict=True)
    figure = Figure(figsize=(8, 1.2 + 0.32 * len(rows)), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(names, points, color=["0.6" if name in PUBLISHED else "tab:blue" for name in names])
    axes.bar_label(bars, [f"{value:+.2f}" for value in points], padding=3)
    axes.margins(x=0.12)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(f"points of mean IoU over the network alone ({scores[NETWORK].mean_iou:.2f}); gray: published")
    return figure


if __name__ == "__main__":
    exit_with(main)
