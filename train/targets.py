"""Turn boxes into label maps to train on, once: Bbox-Rect and Bbox-Seg as palette PNGs.

python -m train.targets --data VOCdevkit --list train_aug --boxes objects --out DIR
python -m train.targets --data COCO --list train2014 --boxes coco --out DIR

Writes DIR/rect/<name>.png and DIR/seg/<name>.png, in each folder with a parameters.json. What is there already is kept, so
that it can be interrupted and started again. `python -m train.run --recipe weak_box_seg --targets DIR` trains on them.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from crfrnn._command import description, exit_code, exit_with
from crfrnn.presets import BBOX_SEG_CRF, FixedCRF
from train.recipes.limits import check_numbers


@dataclass(frozen=True)
class Options:
    data: Path
    """folder of the data set (VOCdevkit, or COCO)"""
    out: Path
    """folder for the label maps"""
    split: Annotated[str, tyro.conf.arg(name="list")] = "train_aug"
    """list of images: a name, or a file"""
    boxes: Literal["objects", "regions", "xml", "coco"] = "objects"
    """where boxes come from: around the objects of SegmentationObjectAug or SegmentationObject, around the connected
    regions of class masks, from Annotations/*.xml, or from the annotations of COCO"""
    kinds: tuple[Literal["rect", "seg"], ...] = ("rect", "seg")
    """which label maps to make"""
    seg: FixedCRF = BBOX_SEG_CRF


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 2 for bad input."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = tyro.cli(Options, args=argv, prog="python -m train.targets", description=description(__doc__))
    return exit_code("train.targets", lambda: run(options, shlex.join(["python", "-m", "train.targets", *argv])))


def run(options: Options, command: str) -> int:
    """Load what takes seconds to load, then make the label maps. Raises OSError or ValueError where input is no good."""
    check_numbers(options.seg, "seg.")
    from train.label_maps import make

    return make(options, command)


if __name__ == "__main__":
    exit_with(main)
