"""Train with every kind of annotation on one set of images, and compare: one table, with and without a CRF.

python -m train.weak_table --data VOCdevkit --init mobilenet.pt --out runs/weak
python -m train.weak_table --data VOCdevkit --init FILE --network deeplab-largefov --steps 2000 --seeds 0 --out OTHER

Masks of train_aug are reduced to boxes, scribbles or image labels; mixtures keep the masks of 200 images. The runs are those
of train.run, one for each row and seed, each in a folder of its own in OUT. With deeplabv3-mobilenetv2, they train a new
head on the trunk of a published network (python -m crfrnn.nets.convert makes mobilenet.pt of it), which was trained on masks
of VOC: the rows compare annotations of the head. With deeplab-largefov, they follow the schedule of `voc_small` from
convolutions of ImageNet.

The same command, started again, keeps finished runs and continues interrupted ones. Writes OUT/table.txt and OUT/table.json:
mean and deviation over seeds, and differences of rows with intervals over images and seeds. `--only-table` shows what there
is so far.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from crfrnn._command import description, exit_code, exit_with
from crfrnn._files import claim
from eval.scoring.tables import TableFile, check_table
from train.recipes.limits import COUNT, LIMITS, check_number
from train.recipes.schema import CrfLoss, Recipe
from train.weak.rows import ROWS

if TYPE_CHECKING:  # what is slow to import waits until the options are parsed
    from train.steps.memory import Memory


@dataclass(frozen=True)
class Options:
    data: Path
    """folder of VOC (VOCdevkit)"""
    out: Path
    """folder of the runs"""
    init: str | None = None
    """weights to begin with, as --init of train.run"""
    network: Literal["deeplabv3-mobilenetv2", "deeplab-largefov"] = "deeplabv3-mobilenetv2"
    """which network, and with it which schedule"""
    rows: tuple[str, ...] = tuple(ROWS)
    """which rows; all by default"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """seeds of the runs of every row"""
    steps: int = 300
    """steps of every run"""
    crf_weight: float = 3.0
    """weight of the dense CRF loss in the rows that have it"""
    masks: int = 200
    """images with masks in mixtures"""
    val_list: str = "val"
    """list of images to score on: a name in ImageSets/Segmentation, or a file"""
    subset: tuple[str, ...] = ()
    """classes with a mean IoU of their own, beside the mean over all"""
    only_table: tyro.conf.FlagCreatePairsOff[bool] = False
    """train nothing"""
    table: TableFile = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 2 for bad input, that of a run that failed."""
    options = tyro.cli(Options, args=argv, prog="python -m train.weak_table", description=description(__doc__))
    return exit_code("train.weak_table", lambda: run(options))


def run(options: Options) -> int:
    """Make lists, targets and runs as far as they are not there, then the table. Raises OSError or ValueError."""
    check(options)
    from crfrnn.data import VOCSegmentation
    from eval.scoring.metrics import check_classes
    from train.steps.memory import Memory
    from train.weak.commands import commands
    from train.weak.table import write_table

    dataset = VOCSegmentation(options.data, "train_aug")
    check_classes(options.subset, dataset.classes)
    if not options.only_table:
        claim(options.out / "settings.json", settings(options, dataset.names))
    memory = Memory()
    for command in [] if options.only_table else commands(options):
        print(shlex.join(command), flush=True)
        code = call(command, memory)
        if code:
            return code
    write_table(options)
    return 0


def check(options: Options) -> None:
    """Raise ValueError for options that make no sense."""
    check_table(options.table)
    check_number("steps", options.steps, COUNT)
    check_number("masks", options.masks, COUNT)
    check_number("crf-weight", options.crf_weight, LIMITS[CrfLoss]["weight"])
    for seed in options.seeds:
        check_number("seeds", seed, LIMITS[Recipe]["seed"])
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        raise ValueError(f"there is no row {unknown[0]!r}; wanted some of {', '.join(ROWS)}")
    for flag, values in (("rows", options.rows), ("seeds", options.seeds)):
        if not values or len(set(values)) < len(values):
            raise ValueError(f"--{flag} is {' '.join(map(str, values)) or 'empty'}; wanted one or more, each once")


def call(command: Sequence[str], memory: "Memory") -> int:
    """Do what `python -m MODULE ARGUMENTS` does in this process, whose runs share what a frozen trunk makes of images."""
    from train import run, targets

    _, _, module, *arguments = command
    return run.main(arguments, memory) if module == "train.run" else targets.main(arguments)


def settings(options: Options, names: Sequence[str]) -> dict[str, Any]:
    """What all rows of one folder have in common, given the names of train_aug."""
    return {
        "data": str(options.data.resolve()),
        "train_aug": list(names),
        "network": options.network,
        "init": options.init,
        "steps": options.steps,
        "crf_weight": options.crf_weight,
        "masks": options.masks,
        "val_list": options.val_list,
    }


if __name__ == "__main__":
    exit_with(main)
