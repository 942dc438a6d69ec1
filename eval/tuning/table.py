"""Published, searched and learned CRF parameters side by side, on images that they were not found on.

python -m eval.tuning.table --unaries SCORES.npz --data VOCdevkit --crf searched=A/crf.json matrix=B/crf.json --out OUT
python -m eval.tuning.table --unaries SCORES.npz --data VOCdevkit --solvers --sample None --out OUT

With --crf, scores every image of the list that the search and the learning leave over, given the same --sample and --draw.
Without it, scores the images of the sample; --sample None takes all. Paired differences show what every row has over the
network, and every row of --crf over the best published one. Writes OUT.json, OUT-counts.npz for `eval.differences`, OUT.txt
and OUT.png. "seconds": processor time of one thread per image, from the lattices to the logits.

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
from eval.scoring.counts import ImageCounts, matrices
from eval.scoring.differences import Differences, difference_tables, difference_text, of_rows
from eval.scoring.metrics import Scores, check_classes, comparable_scores, most_likely
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
    images = ScoredImages(options.source, rest=bool(options.crf))
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
    means: dict[str, dict[str, float]] = {name: defaultdict(float) for name in (NETWORK, *layers)}
    counts = ImageCounts(images.classes)
    with Workers(labeling, options.workers) as workers:
        found = tqdm(workers.map(range(len(images))), "images", len(images), unit="image")
        for image, results in zip(images.names, found, strict=True):
            counts.add(image, {name: matrix for name, (matrix, _) in results.items()})
            for name, (_, figures) in results.items():
                for figure, value in figures.items():
                    means[name][figure] += value / len(images)
    scores = {name: comparable_scores(counts.total(name), images.classes) for name in means}
    rows, compared = table(scores, means, options.subset), differences(scores, counts, options.subset)
    facts = origin("eval.tuning.table", argv) | {
        "images": images.names,
        "rows": {name: plain(row, options.subset) | means[name] for name, row in scores.items()},
        "differences": [each.plain() for each in compared],
    }
    record = options.out.with_name(options.out.name + ".json")
    counts.write(record)
    write_json(record, facts)
    text = f"{rows}\n\n{difference_text(compared)}"
    with replacing(options.out.with_name(options.out.name + ".txt")) as partial:
        partial.write_text(f"{text}\n", encoding="utf-8")
    save_figure(bars(compared[0]), options.out.with_name(f"{options.out.name}.{options.figures}"))
    print(f"{len(images)} images, percent\n\n{text}")
    write_tables(options.table, {"table": rows, **difference_tables(compared)})
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
            counted = matrices({name: most_likely(logits)}, scored.truth, len(self.images.classes))
            results[name] = (counted[name], {"seconds": seconds})
            if comparison is not None:
                results[name][1].update(comparison.figures(logits))
        return results


def table(scores: Mapping[str, Scores], means: Mapping[str, Mapping[str, float]], classes: Sequence[str]) -> Table:
    """A row for every way."""
    subset = [f"mean IoU\nof {len(classes)}"] if classes else []
    header = ["percent", "mean\nIoU", *subset, "pixel\naccuracy", "class\naccuracy", "seconds"]
    header += [title for figure, (title, _) in COLUMNS.items() if figure in means[NETWORK]]
    rows = []
    for name, row in scores.items():
        numbers = [row.mean_iou, *([row.mean_over(classes)] if classes else [])]
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


def differences(scores: Mapping[str, Scores], counts: ImageCounts, classes: Sequence[str]) -> list[Differences]:
    """Of all rows from the network alone, and of the others from the best published one, or from mean field."""
    published = [name for name in PUBLISHED if name in scores]
    best = max(published, key=lambda name: scores[name].mean_iou) if published else REFERENCE
    own = [name for name in scores if name not in (NETWORK, best, *published)]
    found = [of_rows(counts, NETWORK, classes)]
    return [*found, of_rows(counts, best, classes, own)] if own else found


def bars(compared: Differences) -> Figure:
    """Points of mean IoU over the network alone, with their intervals; published parameters in gray."""
    rows = [(name, found) for name, row in compared.rows.items() if (found := row["mean IoU"]) is not None]
    names = [name for name, _ in reversed(rows)]
    points = [found.points for _, found in reversed(rows)]
    figure = Figure(figsize=(8, 1.2 + 0.32 * len(rows)), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.barh(names, points, color=["0.6" if name in PUBLISHED else "tab:blue" for name in names])
    for place, (_, found) in enumerate(reversed(rows)):
        ends = found.images or ()
        axes.plot(ends, [place] * len(ends), color="black", linewidth=1.2, marker="|")
        right = max(0.0, found.points, *ends)  # no line strikes the number through there
        axes.annotate(
            f"{found.points:+.2f}",
            (right, place),
            xytext=(5, 0),
            textcoords="offset points",
            verticalalignment="center",
        )
    axes.margins(x=0.12)
    axes.axvline(0, color="black", linewidth=0.8)
    gray = "; gray: published" if any(name in PUBLISHED for name in names) else ""
    axes.set_xlabel(f"points of mean IoU over {compared.reference}, lines: 95 % interval{gray}")
    return figure


if __name__ == "__main__":
    exit_with(main)
