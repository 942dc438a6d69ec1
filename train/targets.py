"""Turn boxes and scribbles into label maps to train on, once, as palette PNGs: Bbox-Rect, Bbox-Seg, scribbles.

python -m train.targets --data VOCdevkit --list train_aug --boxes objects --out DIR
python -m train.targets --data COCO --list train2014 --boxes coco --out DIR
python -m train.targets --data VOCdevkit --list train_aug --kinds scribbles --out DIR
python -m train.targets --data RUN/folders.json --list train --boxes regions --out DIR

Writes DIR/rect/<name>.png, DIR/seg/<name>.png or DIR/scribbles/<name>.png, in each folder with a parameters.json. What is
there already is kept, so that it can be interrupted and started again. `python -m train.run --recipe weak_box_seg --targets
DIR` trains on them, `--recipe weak_scribble` on scribbles.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from crfrnn._command import description, exit_code, exit_with
from crfrnn.folders import Folders
from crfrnn.presets import BBOX_SEG_CRF, FixedCRF
from train.recipes.limits import LIMITS, check_number, check_numbers
from train.recipes.schema import Recipe


@dataclass(frozen=True)
class Options:
    out: Path
    """folder for the label maps"""
    data: Path | None = None
    """folder of the data set (VOCdevkit, or COCO), or the folders.json of a run"""
    folders: Annotated[Folders, tyro.conf.arg(name="")] = field(default_factory=Folders)
    """with --boxes regions"""
    split: Annotated[str, tyro.conf.arg(name="list")] = "train_aug"
    """list of images: a name, or a file; in folders, train, val or all"""
    boxes: Literal["objects", "regions", "xml", "coco"] = "objects"
    """where boxes come from: around the objects of SegmentationObjectAug or SegmentationObject, around the connected
    regions of class masks, from Annotations/*.xml, or from the annotations of COCO"""
    kinds: tuple[Literal["rect", "seg", "scribbles"], ...] = ("rect", "seg")
    """which label maps to make"""
    scribbles: Path | None = None
    """folder of the scribbles of ScribbleSup (<name>.xml); without it, scribbles are made from the masks"""
    seed: int = 0
    """of scribbles that are made from masks"""
    seg: FixedCRF = BBOX_SEG_CRF


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 2 for bad input."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = tyro.cli(Options, args=argv, prog="python -m train.targets", description=description(__doc__))
    return exit_code("train.targets", lambda: run(options, shlex.join(["python", "-m", "train.targets", *argv])))


def run(options: Options, command: str) -> int:
    """Load what takes seconds to load, then make the label maps. Raises OSError or ValueError where input is no good."""
    check_numbers(options.seg, "seg.")
    check_number("seed", options.seed, LIMITS[Recipe]["seed"])
    from train.label_maps import make

    return make(options, command)


if __name__ == "__main__":
    exit_with(main)
