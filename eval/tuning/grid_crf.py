"""Network, grid CRF and fully connected CRF each tuned on its own, as in Kraehenbuehl & Koltun 2011 on MSRC-21.

python -m eval.tuning.grid_crf --checkpoint FILE --data MSRC --list Test --tune-list Val --out DIR
python -m eval.tuning.grid_crf --unaries SCORES.npz --data VOCdevkit --sample 50 --out DIR

Without --tune-list, --sample of the list are for tuning and the others for the table. Both CRFs run through the same
mean-field layer; their weights and bandwidths are those of the best pixel accuracy over small grids. DIR gets table.txt,
scores.json, scores.txt, and the figures shrinking (recall of thin structures and of small objects) and pictures.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from crfrnn._command import description, exit_code, exit_with
from crfrnn._files import replacing
from crfrnn.presets import FixedCRF, GridCRF
from eval.inputs.flags import (
    check_counts,
    check_finite,
    check_fixed_crf,
    check_folder,
    check_not_negative,
    check_positive,
)
from eval.pictures.figures import Example, panel, save_figure
from eval.pictures.formats import FigureFormat
from eval.published import rows as published
from eval.scoring.metrics import Confusion, Scores, most_likely
from eval.scoring.record import origin
from eval.scoring.report import JSON_NAME, save_report
from eval.scoring.shrinking import SIDES, Kept, Shrinking, shrinking_figure, thickness
from eval.scoring.tables import Table, TableFile, check_table, write_tables
from eval.tuning.scored_images import ScoredImage, ScoredImages, ScoreSource

UNARY, GRID, DENSE = "unary", "grid CRF", "fully connected CRF"
FACTORS = (0.25, 1.0, 4.0, 16.0, 64.0)
THIN_BELOW = 2
"""pixels in bins of thickness below this one are thin when images are picked for pictures"""


Pairwise = GridCRF | FixedCRF


@dataclass(frozen=True)
class Options:
    source: Annotated[ScoreSource, tyro.conf.arg(name="")]
    out: Path
    """folder for the results"""
    tune_list: str | None = None
    """list of the images to tune on; without it, --sample of the list itself"""
    neighbors: int = 8
    """of a pixel of the grid: 4 or 8"""
    grid_weights: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """weights of the grid kernel to try"""
    grid_betas: tuple[float, ...] = (8.0, 16.0, 32.0, 64.0)
    """its theta_beta to try, gray levels"""
    weights: tuple[float, ...] = (3.0, 5.0, 10.0)
    """weights of the appearance kernel to try"""
    alphas: tuple[float, ...] = (30.0, 60.0, 100.0)
    """its theta_alpha to try, pixels"""
    betas: tuple[float, ...] = (5.0, 10.0, 20.0)
    """its theta_beta to try, gray levels"""
    dense_crf: FixedCRF = field(default_factory=FixedCRF)
    """smoothness kernel, iterations and normalization of the fully connected CRF, which are not tuned"""
    noise: float = 0.0
    """standard deviation of noise on every score; those of a network are smooth, which leaves a grid CRF little to do"""
    pictures: int = 5
    """images to picture: those in which the two CRFs differ most on thin structures"""
    table: TableFile = None
    figures: FigureFormat = "png"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = tyro.cli(Options, args=argv, prog="python -m eval.tuning.grid_crf", description=description(__doc__))
    return exit_code("eval.tuning.grid_crf", lambda: run(options, argv))


def run(options: Options, argv: Sequence[str]) -> int:
    """Tune, compare, print and write. Raises OSError or ValueError where the options cannot be followed."""
    check_options(options)
    if (options.out / JSON_NAME).exists():
        raise ValueError(f"{options.out / JSON_NAME} exists; pass another folder as --out")
    tuning, test = (Noisy(images, options.noise) for images in image_sets(options))
    labels = len(test.classes)
    best = {name: tune(own, tuning, labels, name) for name, own in candidates(options).items()}
    comparison = compare(best, test, options.pictures)
    sweeps = {name: sweep(own, tuning, labels, name) for name, own in best.items()}

    table = comparison.table()
    text = "\n".join([str(table), "", *(f"{name}: {own}" for name, own in best.items())])
    print(text)
    write_tables(options.table, {"table": table})
    shrinking = shrinking_figure(comparison.kept, comparison.shares, sweeps, UNARY)
    save_figure(shrinking, options.out / f"shrinking.{options.figures}")
    if comparison.examples:
        save_figure(panel(comparison.examples, test.classes), options.out / f"pictures.{options.figures}")
    with replacing(options.out / "table.txt") as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    facts = {
        "tuned_on": len(tuning),
        "images": len(test),
        "parameters": {name: asdict(own) for name, own in best.items()},
        "seconds": comparison.seconds,
        "recall": {name: own.plain() for name, own in comparison.kept.items()},
        "shares_of_pixels": comparison.shares.plain(),
        "sweeps": {
            name: [{"factor": f, "pixel_accuracy": a, "thin_recall": r} for f, (a, r) in own.items()]
            for name, own in sweeps.items()
        },
    }
    save_report(options.out, comparison.scores, facts=origin("eval.tuning.grid_crf", argv) | facts)
    return 0


def check_options(options: Options) -> None:
    """Raise ValueError where a number is out of range, or nothing can be written to --out."""
    check_table(options.table)
    if options.neighbors not in (4, 8):
        raise ValueError(f"--neighbors is {options.neighbors}; wanted 4 or 8")
    check_finite(grid_weights=options.grid_weights, weights=options.weights)
    check_positive(grid_betas=options.grid_betas, alphas=options.alphas, betas=options.betas)
    check_not_negative(noise=options.noise)
    check_counts(0, pictures=options.pictures)
    check_fixed_crf("dense-crf.", options.dense_crf)
    check_folder("--out", options.out)


def image_sets(options: Options) -> tuple[ScoredImages, ScoredImages]:
    """The images to tune on and those of the table."""
    source = options.source
    if options.tune_list is None:
        return ScoredImages(source), ScoredImages(source, rest=True)
    return ScoredImages(replace(source, split=options.tune_list, sample=None)), ScoredImages(
        replace(source, sample=None)
    )


def candidates(options: Options) -> dict[str, list[Pairwise]]:
    """The parameters to try of both CRFs."""
    fixed = options.dense_crf
    grid = product(options.grid_weights, options.grid_betas)
    dense = product(options.weights, options.alphas, options.betas)
    return {
        GRID: [GridCRF(w, beta, options.neighbors, fixed.num_iterations) for w, beta in grid],
        DENSE: [replace(fixed, appearance_weight=w, theta_alpha=alpha, theta_beta=beta) for w, alpha, beta in dense],
    }


class Noisy:
    """Scored images with noise on their scores, the same in every walk.

    Attributes:
        classes: the names of the labels.
    """

    def __init__(self, images: ScoredImages, deviation: float) -> None:
        self._images, self._deviation = images, deviation
        self.classes = images.classes

    def __len__(self) -> int:
        return len(self._images)

    def walk(self, what: str) -> Iterator[ScoredImage]:
        """The images, one by one, under a progress bar."""
        generator = torch.Generator().manual_seed(0)
        for scored in tqdm(self._images, desc=what, unit="image", leave=None):
            noise = torch.randn(scored.unary.shape, generator=generator) if self._deviation else 0.0
            yield scored._replace(unary=scored.unary + self._deviation * noise)


@torch.no_grad()
def tune(tried: Sequence[Pairwise], images: Noisy, num_labels: int, name: str) -> Pairwise:
    """Which of `tried` has the best pixel accuracy on `images`; the first where several have."""
    layers = [each.build(num_labels) for each in tried]
    confusions = [Confusion(images.classes) for _ in tried]
    for scored in images.walk(f"tuning the {name}"):
        for crf, confusion in zip(layers, confusions, strict=True):
            confusion.add_logits(crf(scored.unary, scored.image), scored.truth)
    accuracies = [confusion.scores().pixel_accuracy for confusion in confusions]
    return tried[accuracies.index(max(accuracies))]


@torch.no_grad()
def sweep(best: Pairwise, images: Noisy, num_labels: int, name: str) -> dict[float, tuple[float, float]]:
    """Pixel accuracy and recall of the thinnest structures on `images`, by the factor on the weights of `best`."""
    layers = {factor: scaled(best, factor).build(num_labels) for factor in FACTORS}
    confusions = {factor: Confusion(images.classes) for factor in FACTORS}
    shrinking = Shrinking([str(factor) for factor in FACTORS])
    for scored in images.walk(f"weights of the {name}"):
        labels = {factor: most_likely(crf(scored.unary, scored.image)) for factor, crf in layers.items()}
        for factor, own in labels.items():
            confusions[factor].update(own, scored.truth)
        shrinking.update({str(factor): own for factor, own in labels.items()}, scored.truth)
    kept = shrinking.kept()
    return {f: (confusion.scores().pixel_accuracy, kept[str(f)].by_thickness[0]) for f, confusion in confusions.items()}


def scaled(pairwise: Pairwise, factor: float) -> Pairwise:
    """The same CRF with all its weights times `factor`."""
    if isinstance(pairwise, GridCRF):
        return replace(pairwise, weight=factor * pairwise.weight)
    return replace(
        pairwise,
        appearance_weight=factor * pairwise.appearance_weight,
        smoothness_weight=factor * pairwise.smoothness_weight,
    )


@dataclass
class GridComparison:
    """The results of all rows: scores, recall by thickness and area, seconds per image, and examples to picture."""

    scores: dict[str, Scores]
    kept: dict[str, Kept]
    shares: Kept
    seconds: dict[str, float]
    examples: list[Example]

    def table(self) -> Table:
        """Seconds of the CRF per image, pixel ("Global") and class ("Average") accuracy and mean IoU; quoted rows below."""
        rows = []
        for name, scores in self.scores.items():
            seconds = f"{self.seconds[name]:.2f}" if name in self.seconds else "-"
            numbers = (scores.pixel_accuracy, scores.class_accuracy, scores.mean_iou, self.kept[name].by_thickness[0])
            rows.append([name, "measured", seconds, *(f"{number:.1f}" for number in numbers)])
        for quote in published("msrc21"):
            accuracies = (quote["pixel_accuracy"], quote["class_accuracy"])
            rows.append([quote["method"], "quoted, MSRC-21", quote["seconds"] or "-", *accuracies, "-", "-"])
        header = [
            "percent",
            "origin",
            "seconds\nan image",
            "Global",
            "Average",
            "mean\nIoU",
            f"recall under\n{SIDES[0]} pixels",
        ]
        return Table(header, rows)


@torch.no_grad()
def compare(best: dict[str, Pairwise], images: Noisy, pictures: int) -> GridComparison:
    """Run the unaries and `best` over `images`."""
    layers = {name: own.build(len(images.classes)) for name, own in best.items()}
    names = [UNARY, *layers]
    confusions = {name: Confusion(images.classes) for name in names}
    shrinking = Shrinking(names)
    seconds = dict.fromkeys(layers, 0.0)
    examples: list[tuple[int, Example]] = []
    for scored in images.walk("comparing"):
        labels = {UNARY: most_likely(scored.unary)}
        for name, crf in layers.items():
            start = time.perf_counter()
            logits = crf(scored.unary, scored.image)
            seconds[name] += (time.perf_counter() - start) / len(images)
            labels[name] = most_likely(logits)
        for name, confusion in confusions.items():
            confusion.update(labels[name], scored.truth)
        shrinking.update(labels, scored.truth)
        image = scored.image[0].to(torch.uint8)
        examples.append(
            (thin_gain(labels, scored.truth), Example(scored.name, image, {"truth": scored.truth} | labels))
        )
        examples = sorted(examples, key=lambda pair: -pair[0])[:pictures]
    return GridComparison(
        {name: confusion.scores() for name, confusion in confusions.items()},
        shrinking.kept(),
        shrinking.shares(),
        seconds,
        [example for _, example in examples],
    )


def thin_gain(labels: dict[str, Tensor], truth: Tensor) -> int:
    """How many more pixels of thin structures the dense CRF has right than the grid CRF."""
    thin = (thickness(truth) < THIN_BELOW) & (truth != 255)
    return int((labels[DENSE] == truth)[thin].sum()) - int((labels[GRID] == truth)[thin].sum())


if __name__ == "__main__":
    exit_with(main)
