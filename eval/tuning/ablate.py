"""Ablations of the CRF: every combination of the settings asked for, after every number of mean-field iterations.

python -m eval.tuning.ablate --unaries SCORES.npz --data VOCdevkit --train-iterations 1 3 5 10 --seeds 0 1 2 --out DIR
python -m eval.tuning.ablate --unaries SCORES.npz --data VOCdevkit --kernels grid both --kernel-weights matrix --out DIR
python -m eval.tuning.ablate --unaries SCORES.npz --data VOCdevkit --train-iterations 5 converged --damping 0 auto --out DIR
python -m eval.tuning.ablate --checkpoints runs/*/crf.pt runs/*/joint.pt --data VOCdevkit --out DIR

The parameters of each cell are learned on the images that --sample and --draw choose from the list, and scored on the
others; with `--steps 0` nothing is learned. --checkpoints scores finished models on the whole list instead; models whose
files have the same name count as seeds of one row. Cells are kept in DIR: an interrupted command continues when it is given
again, and a command for more cells keeps the old ones. "grid" is a kernel between the 8 nearest pixels, for
`--normalization none`. Paired differences show what every row has at the largest T at test over the network alone, and over
the first row. Writes DIR/ablation.json, .txt and .png, and DIR/tensorboard; `eval.differences` takes the cells in DIR/cells.
"""

import itertools
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tqdm import tqdm

from crfrnn._command import description, exit_code, exit_with
from crfrnn.kernels import Normalization
from crfrnn.nets import load_checkpoint
from crfrnn.presets import CRF_RNN, FixedCRF
from eval.inputs.flags import check_counts, check_fixed_crf, check_folder
from eval.pictures.formats import FigureFormat
from eval.scoring.record import origin
from eval.scoring.tables import TableFile, check_table, write_tables
from eval.tuning.ablation_cells import Cells, Learned, Ready, Running
from eval.tuning.ablation_report import write_report
from eval.tuning.fit import Learning, check_learning
from eval.tuning.scored_images import ScoredImages, ScoreSource
from eval.tuning.variants import Bandwidths, Compatibility, Damping, KernelNames, KernelWeights, Solver, Variant
from eval.tuning.workers import Workers

MOST_ITERATIONS = 1000
"""where mean field has to have converged"""


@dataclass(frozen=True)
class Axes:
    """The settings to vary; every combination is a cell."""

    train_iterations: tuple[int | Literal["converged"], ...] = (5,)
    """mean-field iterations T while learning; converged: as many as it takes, with the gradient of the fixed point"""
    kernels: tuple[KernelNames, ...] = ("both",)
    """smoothness, appearance or both; grid, between the 8 nearest pixels, is for the normalization none"""
    kernel_weights: tuple[KernelWeights, ...] = ("scalar",)
    """one weight per kernel, one per label, or a matrix over labels"""
    compatibility: tuple[Compatibility, ...] = ("potts",)
    """Potts as it is, or learned from there: symmetric, or any matrix"""
    normalization: tuple[Normalization, ...] = ("after",)
    """where the kernels are normalized"""
    bandwidths: tuple[Bandwidths, ...] = ("fixed",)
    """whether they are learned, too"""
    solver: tuple[Solver, ...] = ("mean_field",)
    """mean field, or regularized Frank-Wolfe (l2, whole steps), which has cells without damping and with numbers T only"""
    damping: tuple[Damping, ...] = (0.0,)
    """of mean field: the share of the old logits that stays in each iteration; auto never raises the free energy"""
    seeds: tuple[int, ...] = (0,)
    """seeds of the order of the images in learning; error bars are over these"""

    def cells(self, start: FixedCRF) -> list[Learned]:
        """All combinations, with the seeds of each in sequence. Raises ValueError where an axis is empty or repeats."""
        for name, values in asdict(self).items():
            if not values or len(set(values)) < len(values):
                flag = f"--{name.replace('_', '-')}"
                raise ValueError(
                    f"{flag} is {' '.join(map(str, values)) or 'empty'}; wanted one or more different values"
                )
        axes = (
            self.kernels, self.kernel_weights, self.compatibility, self.bandwidths, self.solver, self.damping,
            self.normalization, self.train_iterations, self.seeds,
        )  # fmt: skip
        cells = []
        for *values, normalization, iterations, seed in itertools.product(*axes):
            variant = Variant(*values)
            if iterations == "converged":
                variant = replace(variant, gradient="implicit")
            if variant.solver == "frank_wolfe" and (variant.damping != 0 or variant.gradient == "implicit"):
                continue
            most = MOST_ITERATIONS if iterations == "converged" else iterations
            crf = replace(start, num_iterations=most, normalization=normalization)
            cells.append(Learned(replace(variant, start=crf), seed))
        if {cell.variant.solver for cell in cells} != set(self.solver):
            raise ValueError(
                "--solver frank_wolfe has cells with --damping 0 and with numbers as --train-iterations only; wanted them "
                "among the values"
            )
        return cells


@dataclass(frozen=True)
class Options:
    source: Annotated[ScoreSource, tyro.conf.arg(name="")]
    out: Path
    """folder for tables, pictures and finished cells"""
    axes: Annotated[Axes, tyro.conf.arg(name="")] = field(default_factory=Axes)
    checkpoints: tuple[Path, ...] = ()
    """finished models with a CRF, in place of the axes above"""
    test_iterations: int = 10
    """largest T to score; so are T = 0, 1, ... below it"""
    test_images: int | None = None
    """how many of the remaining images to score, evenly spaced; None for all"""
    learning: Annotated[Learning, tyro.conf.arg(name="")] = field(default_factory=Learning)
    start: FixedCRF = CRF_RNN
    """where learning begins; T and normalization come from the axes"""
    workers: int = 1
    """processes, with one thread each"""
    table: TableFile = None
    figures: FigureFormat = "png"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = tyro.cli(Options, args=argv, prog="python -m eval.tuning.ablate", description=description(__doc__))
    return exit_code("eval.tuning.ablate", lambda: run(options, argv))


def run(options: Options, argv: Sequence[str]) -> int:
    """Finish all cells, print and write. Raises OSError or ValueError where that cannot be done."""
    check_options(options)
    cells = planned(options)
    settings: dict[str, Any] = {
        "source": {name: None if value is None else str(value) for name, value in asdict(options.source).items()},
        "scores": options.source.scores_fingerprint(),
        "learning": asdict(options.learning),
        "test_iterations": options.test_iterations,
        "test_images": options.test_images,
    }
    kept = Cells(options.out / "cells", settings)
    missing = [cell for cell in cells if not kept.has(cell)]
    running = Running(options.source, options.learning, kept, options.test_images, quiet=options.workers > 1)
    with Workers(running, options.workers) as workers:
        progress = tqdm(desc="cells", total=len(cells), initial=len(cells) - len(missing), unit="cell")
        for _ in workers.map(missing):
            progress.update()
        progress.close()
    facts = origin("eval.tuning.ablate", argv) | settings
    text, tables = write_report(options.out, cells, kept, facts, options.figures)
    print(text)
    write_tables(options.table, tables)
    return 0


def check_options(options: Options) -> None:
    """Raise ValueError where a number is out of range, or nothing can be written to --out."""
    check_table(options.table)
    check_learning(options.learning)
    check_fixed_crf("start.", options.start)
    check_counts(0, seeds=options.axes.seeds)
    for damping in options.axes.damping:
        if damping != "auto" and not 0 <= damping < 1:
            raise ValueError(f"--damping is {damping}; wanted a share of at least 0 and below 1, or auto")
    check_counts(
        1,
        train_iterations=[value for value in options.axes.train_iterations if value != "converged"] or None,
        test_iterations=options.test_iterations,
        test_images=options.test_images,
        workers=options.workers,
    )
    check_folder("--out", options.out)


def planned(options: Options) -> list[Learned] | list[Ready]:
    """The cells that `options` ask for.

    Raises ValueError for checkpoints beside settings of what is to be learned, and where data or checkpoints do not serve.
    """
    if not options.checkpoints:
        for rest in (False, True):
            ScoredImages(options.source, rest)  # raises where data or scores are missing
        return options.axes.cells(options.start)
    if options.axes != Axes() or options.source.unaries or options.source.checkpoint:
        raise ValueError("--checkpoints bring networks and CRFs of their own; leave out scores and axes")
    for path in options.checkpoints:
        if load_checkpoint(path)["crf"] is None:
            raise ValueError(f"{path} has no CRF; wanted models that were trained with one")
    names = [path.stem for path in options.checkpoints]
    return [Ready(path, names[:i].count(path.stem)) for i, path in enumerate(options.checkpoints)]


if __name__ == "__main__":
    exit_with(main)
