"""Learn the parameters of a CRF alone, on the stored scores of a network: no network runs.

python -m eval.tuning.learn --unaries SCORES.npz --data VOCdevkit --out DIR
python -m eval.tuning.learn --unaries SCORES.npz --data VOCdevkit --kernel-weights matrix --bandwidths learned --out DIR

An interrupted command continues when it is given again. DIR/crf.json holds the result, for
`eval.run --crf` and `eval.tuning.table --crf`.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from crfrnn import CRFRNN
from crfrnn._command import description, exit_code, exit_with
from eval.inputs.crf_file import write_crf
from eval.inputs.flags import check_counts, check_fixed_crf, check_folder
from eval.scoring.record import origin
from eval.scoring.tables import Table, TableFile, check_table, kernel_name, write_tables
from eval.tuning.fit import Learning, check_learning, fit
from eval.tuning.scored_images import ScoredImages, ScoreSource
from eval.tuning.variants import Variant

RESULT, LAST = "crf.json", "last.pt"


@dataclass(frozen=True)
class Options:
    source: Annotated[ScoreSource, tyro.conf.arg(name="")]
    out: Path
    """folder for the result"""
    variant: Annotated[Variant, tyro.conf.arg(name="")] = field(default_factory=Variant)
    learning: Annotated[Learning, tyro.conf.arg(name="")] = field(default_factory=Learning)
    seed: int = 0
    """seed of the order of the images"""
    table: TableFile = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = tyro.cli(Options, args=argv, prog="python -m eval.tuning.learn", description=description(__doc__))
    return exit_code("eval.tuning.learn", lambda: run(options, argv))


def run(options: Options, argv: Sequence[str]) -> int:
    """Learn, print and write. Raises as its parts do, and ValueError where a result would be overwritten."""
    check_table(options.table)
    check_learning(options.learning)
    check_counts(0, seed=options.seed)
    check_fixed_crf("start.", options.variant.start)
    check_counts(1, "start.", num_iterations=options.variant.start.num_iterations)
    check_folder("--out", options.out)
    result = options.out / RESULT
    if result.exists():
        raise ValueError(f"{result} exists; pass another folder as --out")
    images = ScoredImages(options.source)
    options.out.mkdir(parents=True, exist_ok=True)
    last = options.out / LAST
    labels = len(images.classes)
    crf, losses = fit(options.variant, images, labels, options.learning, seed=options.seed, last=last)
    facts = origin("eval.tuning.learn", argv) | {
        "variant": asdict(options.variant),
        "learning": asdict(options.learning),
        "images": images.names,
        "losses": losses,
    }
    write_crf(result, crf, facts)
    last.unlink(missing_ok=True)
    parameters = table(crf, options.variant)
    print(parameters)
    write_tables(options.table, {"parameters": parameters})
    print(f"\nparameters  {shlex.quote(str(result))}")
    return 0


def table(crf: CRFRNN, variant: Variant) -> Table:
    """Kernel weights (means over labels), bandwidths and the side weights of a learned blur, before and after."""
    begin = variant.build(crf.num_labels)
    rows = []
    for m, kernel in enumerate(crf.kernels):
        numbers = []
        for layer in (begin, crf):
            weights = layer.cell.kernel_weights[m].detach()
            own = weights.diagonal() if weights.ndim == 2 else weights
            values = (float(own.mean()), *layer.bandwidths[m].tolist())
            sides = layer.side_weights[m].tolist() if layer.side_weights else []
            blur = f"; blur {' '.join(f'{side:.3g}' for side in sides)}" if sides else ""
            numbers.append(", ".join(f"{value:.3g}" for value in values) + blur)
        rows.append([kernel_name(kernel), *numbers])
    return Table(["weight, bandwidths", "before", "learned"], rows)


if __name__ == "__main__":
    exit_with(main)
