"""Published, searched and learned CRF parameters side by side, on images that they were not found on.

python -m eval.tuning.table --unaries SCORES.npz --data VOCdevkit --crf searched=A/crf.json matrix=B/crf.json --out OUT
python -m eval.tuning.table --unaries SCORES.npz --data VOCdevkit --solvers --out OUT

Scores every image of the list that the search and the learning leave over, given the same --sample and --draw. Writes
OUT.json, OUT.txt and OUT.png. "seconds": processor time of one thread per image, from the lattices to the logits.
--solvers has a row for every solver of one CRF instead of the published sets, with the free energy that each reaches and the
share of labels that are those of mean field.
"""

import sys
import time
from collections import defaultdict
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
from crfrnn.presets import PUBLISHED, FixedCRF
from eval.inputs.crf_file import read_crf
from eval.inputs.flags import check_counts, check_fixed_crf, check_folder, check_min_belief, check_not_negative
from eval.pictures.figures import save_figure
from eval.pictures.formats import FigureFormat
from eval.scoring.metrics import Confusion, Scores, check_classes
from eval.scoring.record import origin, write_json
from eval.scoring.tables import Table, TableFile, check_table, write_tables
from eval.tuning.scored_images import ScoredImages, ScoreSource
from eval.tuning.solver_rows import COLUMNS, CRF, REFERENCE, Comparison, solver_layers
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
    solvers: bool = False
    """rows for the solvers of the CRF below, instead of the published sets"""
    dense_crf: FixedCRF = CRF
    """the CRF of --solvers"""
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
    check_fixed_crf("dense-crf.", options.dense_crf)
    if options.solvers:
        layers = solver_layers(options.dense_crf, len(images.classes))
    else:
        layers = {name: fixed.build(len(images.classes)) for name, fixed in PUBLISHED.items()}
    layers |= read_layers(options.crf, options.iterations, len(images.classes), taken=[NETWORK, *layers])
    for layer in layers.values():
        layer.min_belief, layer.message_tolerance = options.min_belief, options.message_tolerance
    labeling = Labeling(images, layers, layers[REFERENCE] if options.solvers else None)
    confusions = {name: Confusion(images.classes) for name in (NETWORK, *layers)}
    means: dict[str, dict[str, float]] = {name: defaultdict(float) for name in confusions}
    with Workers(labeling, options.workers) as workers:
        for counts in tqdm(workers.map(range(len(images))), "images", len(images), unit="image"):
            for name, (matrix, figures) in counts.items():
                confusions[name].add(matrix)
                for figure, value in figures.items():
                    means[name][figure] += value / len(images)
    scores = {name: confusion.scores() for name, confusion in confusions.items()}
    rows = table(scores, means, options.subset)
    facts = origin("eval.tuning.table", argv) | {
        "images": images.names,
        "rows": {name: plain(row, options.subset) | means[name] for name, row in scores.items()},
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
    """Labels an image in every way; counts pixels by true and predicted label and takes the time.

    With a `reference`, the free energy of that layer is taken, too, and the share of labels that are its.
    """

    def __init__(self, images: ScoredImages, layers: Mapping[str, CRFRNN], reference: CRFRNN | None = None) -> None:
        self.images, self.layers, self.reference = images, layers, reference

    @torch.no_grad()
    def __call__(self, number: int) -> dict[str, tuple[torch.Tensor, dict[str, float]]]:
        scored = self.images[number]
        comparison = Comparison(self.reference, scored.unary, scored.image) if self.reference is not None else None
        results = {}
        for name in (NETWORK, *self.layers):
            began = time.process_time()
            logits = scored.unary if name == NETWORK else self.layers[name](scored.unary, scored.image)
            seconds = time.process_time() - began
            confusion = Confusion(self.images.classes)
            confusion.add_logits(logits, scored.truth)
            results[name] = (confusion.counts, {"seconds": seconds})
            if comparison is not None:
                results[name][1].update(comparison.figures(logits))
        return results


def table(scores: Mapping[str, Scores], means: Mapping[str, Mapping[str, float]], classes: Sequence[str]) -> Table:
    """A row for every way, with its gain over the network alone."""
    subset = [f"mean IoU\nof {len(classes)}"] if classes else []
    header = ["percent", "mean\nIoU", "gain", *subset, "pixel\naccuracy", "class\naccuracy", "seconds"]
    header += [title for figure, (title, _) in COLUMNS.items() if figure in means[NETWORK]]
    rows = []
    for name, row in scores.items():
        numbers = [row.mean_iou, row.mean_iou - scores[NETWORK].mean_iou]
        numbers += [row.mean_over(classes)] if classes else []
        cells = [f"{number:.2f}" for number in (*numbers, row.pixel_accuracy, row.class_accuracy)]
        more = [f"{means[name][figure]:.{digits}f}" for figure, (_, digits) in COLUMNS.items() if figure in means[name]]
        rows.append([name, *cells, "-" if name == NETWORK else f"{means[name]['seconds']:.3f}", *more])
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
