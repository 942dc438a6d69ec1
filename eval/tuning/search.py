"""Search the parameters of a fixed dense CRF that follows a network, from coarse to fine, as DeepLab does on 100 images.

python -m eval.tuning.search --unaries SCORES.npz --data VOCdevkit --workers 8 --out DIR
python -m eval.tuning.search --checkpoint FILE --data VOCdevkit --grid.theta-gamma 1 3 --metric class_accuracy --out DIR

The first round tries the whole grid. Every later round tries one step up and down each axis from the best cell so far; when
none is better, the steps halve. Counts are kept in DIR, image by image: an interrupted command continues when it is given
again, and a search with another metric or grid uses the counts, too. DIR/crf.json holds the result,
for `CRFRNN.from_settings`, `eval.run --crf` and, through `crfrnn.convert.to_pydensecrf`, for DenseCRF2D.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from tqdm import tqdm

from crfrnn._command import description, exit_code, exit_with
from crfrnn.kernels import Normalization
from crfrnn.presets import FixedCRF
from eval.inputs.crf_file import write_crf
from eval.inputs.flags import check_counts, check_folder, check_min_belief, check_not_negative, check_positive
from eval.scoring.metrics import Confusion, Scores, check_classes, comparable_scores
from eval.scoring.record import origin
from eval.scoring.tables import Table, TableFile, check_table, write_tables
from eval.tuning.scored_images import ScoredImages, ScoreSource
from eval.tuning.search_grid import Grid, around, first_round, first_steps
from eval.tuning.search_store import Store
from eval.tuning.workers import Workers

Metric = Literal["mean_iou", "pixel_accuracy", "class_accuracy", "weighted_iou"]
RESULT, SHOWN = "crf.json", 12


@dataclass(frozen=True)
class Options:
    source: Annotated[ScoreSource, tyro.conf.arg(name="")]
    out: Path
    """folder for the result and for what has been tried"""
    grid: Grid = field(default_factory=Grid)
    rounds: int = 6
    """rounds after the grid"""
    metric: Metric = "mean_iou"
    """what is to be largest; the means are over the classes that the images hold"""
    subset: tuple[str, ...] = ()
    """mean IoU over these classes only"""
    num_iterations: int = 10
    """mean-field iterations T"""
    normalization: Normalization = "after"
    """where the kernels are normalized; DeepLab divides after filtering"""
    min_belief: float = 0.0
    """see CRFRNN: 0.02 saves a third of the time for next to no difference"""
    message_tolerance: float = 0.0
    """see CRFRNN: 0.01 saves time for next to no difference"""
    workers: int = 1
    """processes, with one thread each"""
    table: TableFile = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = tyro.cli(Options, args=argv, prog="python -m eval.tuning.search", description=description(__doc__))
    return exit_code("eval.tuning.search", lambda: run(options, argv))


def run(options: Options, argv: Sequence[str]) -> int:
    """Search, print the best cells and write the best. Raises OSError or ValueError where that cannot be done."""
    check_table(options.table)
    check_counts(0, rounds=options.rounds, num_iterations=options.num_iterations)
    check_counts(1, workers=options.workers)
    check_not_negative(message_tolerance=options.message_tolerance)
    check_positive("grid.", **asdict(options.grid))
    check_folder("--out", options.out)
    images = ScoredImages(options.source)
    check_min_belief(options.min_belief, len(images.classes))
    check_present(options.subset, images)
    counting = Counting(options, images)
    with Store(options.out, settings(options)) as store, Workers(counting, options.workers) as workers:
        search = Search(options, images, store, workers)
        best = search.run()
    ranking = sorted(search.values, key=search.values.__getitem__, reverse=True)
    rows = [[str(cell), f"{search.values[cell]:.2f}"] for cell in ranking[:SHOWN]]
    print(f"{len(ranking)} cells on {len(images)} images; the best\n")
    table = Table(["percent", options.metric], rows)
    print(table)
    write_tables(options.table, {"best": table})
    facts = origin("eval.tuning.search", argv) | {
        "metric": options.metric,
        "subset": list(options.subset),
        "images": images.names,
        "tried": {str(cell): search.values[cell] for cell in ranking},
    }
    write_crf(options.out / RESULT, best.build(len(images.classes)), facts)
    print(f"\nparameters  {options.out / RESULT}")
    return 0


def check_present(classes: Sequence[str], images: ScoredImages) -> None:
    """Raise ValueError where there is no such class, or none of `classes` in the images: there is nothing to rank."""
    check_classes(classes, images.classes)
    if classes and not {images.classes[label] for label in images.labels()} & set(classes):
        raise ValueError(
            f"none of the {len(images)} images holds {', '.join(classes)}; wanted classes that are in them: raise "
            "--sample, or change --draw or --subset"
        )


def settings(options: Options) -> dict[str, Any]:
    """What makes counts comparable: those of other settings are not to be taken for ours."""
    source = {name: str(value) for name, value in asdict(options.source).items() if name not in ("sample", "draw")}
    source["scores"] = str(options.source.scores_fingerprint())
    found = {name: getattr(options, name) for name in ("num_iterations", "normalization", "min_belief")}
    # Counts of before there was this option are those of 0.
    late = {"message_tolerance": options.message_tolerance} if options.message_tolerance else {}
    return source | found | late


class Search:
    """A search over `images`; what was counted before comes from `store`, what is counted now goes there.

    Attributes:
        values: the metric of every cell tried.
    """

    def __init__(self, options: Options, images: ScoredImages, store: Store, workers: Workers) -> None:
        self.options, self.images, self.store, self.workers = options, images, store, workers
        self.values: dict[FixedCRF, float] = {}

    def run(self) -> FixedCRF:
        """The best cell of all rounds."""
        base = FixedCRF(num_iterations=self.options.num_iterations, normalization=self.options.normalization)
        self.try_cells(first_round(self.options.grid, base), "grid")
        steps, rounds = first_steps(self.options.grid), 0
        best = max(self.values, key=self.values.__getitem__)
        while steps and rounds < self.options.rounds:
            fresh = [cell for cell in around(best, steps) if cell not in self.values]
            if fresh:
                rounds += 1
                self.try_cells(fresh, f"round {rounds}")
            before, best = best, max(self.values, key=self.values.__getitem__)
            if best == before:
                steps = {name: step / 2 for name, step in steps.items()}
        return best

    def try_cells(self, cells: Sequence[FixedCRF], title: str) -> None:
        """Add `cells` to `values`, in this order."""
        names = self.images.names
        missing = {i: [cell for cell in cells if not self.store.has(name, cell)] for i, name in enumerate(names)}
        tasks = {i: own for i, own in missing.items() if own}
        total = len(cells) * len(names)
        with tqdm(desc=title, total=total, initial=total - sum(map(len, tasks.values())), unit="labeling") as bar:
            for name, counts in self.workers.map(list(tasks.items())):
                self.store.add(name, counts)
                bar.update(len(counts))
        for cell in cells:
            self.values[cell] = self.value(cell)

    def value(self, cell: FixedCRF) -> float:
        confusion = Confusion(self.images.classes)
        for name in self.images.names:
            confusion.add(self.store.get(name, cell))
        scores = comparable_scores(confusion.counts, confusion.classes)
        return measured(scores, self.options.metric, self.options.subset)


def measured(scores: Scores, metric: Metric, classes: Sequence[str]) -> float:
    """The metric by name; mean IoU over `classes` where there are any."""
    return scores.mean_over(classes) if metric == "mean_iou" and classes else getattr(scores, metric)


class Counting:
    """Labels an image with the CRFs of several cells and counts, for every one, pixels by true and predicted label."""

    def __init__(self, options: Options, images: ScoredImages) -> None:
        self.options, self.images = options, images

    @torch.no_grad()
    def __call__(self, task: tuple[int, Sequence[FixedCRF]]) -> tuple[str, Mapping[FixedCRF, torch.Tensor]]:
        number, cells = task
        scored = self.images[number]
        counts = {}
        for cell in cells:
            crf = cell.build(len(self.images.classes), self.options.min_belief, self.options.message_tolerance)
            confusion = Confusion(self.images.classes)
            confusion.add_logits(crf(scored.unary, scored.image), scored.truth)
            counts[cell] = confusion.counts
        return scored.name, counts


if __name__ == "__main__":
    exit_with(main)
