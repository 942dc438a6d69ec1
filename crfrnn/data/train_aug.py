"""Build train_aug, the 10,582 training images of VOC 2012 with masks of VOC and SBD, from these two sets.

python -m crfrnn.data.train_aug --voc VOCdevkit --sbd benchmark_RELEASE/dataset

Writes, below the VOC folder, SegmentationClassAug and SegmentationObjectAug (VOC's own masks where there are some, else
those of SBD) and ImageSets/Segmentation/train_aug.txt: the images of SBD and of VOC's train without those of VOC's val.
Existing masks are kept, so an interrupted run can be repeated. The exit code is 1 where counts differ from the published.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from tqdm import tqdm

from crfrnn._command import description, exit_code, exit_with
from crfrnn._files import replacing
from crfrnn.data.listing import find_list, read_list
from crfrnn.data.palette import read_labels, write_labels
from crfrnn.data.sbd import sbd_labels, sbd_objects, sbd_root
from crfrnn.data.voc import list_names

PUBLISHED = {
    "SBD train": 8498, "SBD val": 2857, "VOC train": 1464, "VOC val": 1449, "train_aug": 10582, "weak": 9118,
    "objects": 10582,
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    voc: Path
    """folder of VOC 2012 (VOCdevkit), which is written to"""
    sbd: Path
    """folder of SBD"""


@dataclass(frozen=True)
class Report:
    """What was found: the number of images in every list, and the missing files of every image that lacks some."""

    counts: dict[str, int]
    missing: dict[str, list[str]]

    @property
    def complete(self) -> bool:
        return self.counts == PUBLISHED and not self.missing

    def __str__(self) -> str:
        lines = [f"{'list':<10} {'found':>6} {'published':>10}"]
        lines += [f"{name:<10} {self.counts[name]:>6} {count:>10}" for name, count in PUBLISHED.items()]
        lines += [f"{name}: no {', '.join(files)}; left out" for name, files in self.missing.items()]
        return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 1 where something is missing, 2 for bad input."""
    options = tyro.cli(Options, args=argv, prog="python -m crfrnn.data.train_aug", description=description(__doc__))
    return exit_code("crfrnn.data.train_aug", lambda: run(options))


def run(options: Options) -> int:
    """Write masks and lists and print the report."""
    report = make_train_aug(options.voc, options.sbd)
    print(report)
    return 0 if report.complete else 1


def make_train_aug(voc: Path, sbd: Path) -> Report:
    """Write masks and lists; returns what was found. Raises FileNotFoundError where a set or list is missing, ValueError
    where a file is damaged."""
    sbd = sbd_root(sbd)
    voc, train = list_names(voc, "train")
    _, val = list_names(voc, "val")
    sbd_train, sbd_val = (read_list(find_list(split, [sbd])) for split in ("train", "val"))
    lists = {"SBD train": sbd_train, "SBD val": sbd_val, "VOC train": train, "VOC val": val}
    names = sorted({*lists["SBD train"], *lists["SBD val"], *train} - set(val))
    missing = {name: lacking for name in names if (lacking := _lacking(voc, sbd, name))}
    names = [name for name in names if name not in missing]
    for kind in ("Class", "Object"):
        (voc / f"Segmentation{kind}Aug").mkdir(exist_ok=True)
    objects = 0
    for name in tqdm(names, desc="train_aug", unit="image", disable=len(names) < 100):
        _write_mask(voc, sbd, name, "Class")
        objects += _write_mask(voc, sbd, name, "Object")
    weak = [name for name in names if name not in set(train)]
    for split, entries in (("train_aug", names), ("weak", weak)):
        _write_list(voc / "ImageSets" / "Segmentation" / f"{split}.txt", entries)
    counts = {name: len(entries) for name, entries in lists.items()}
    return Report({**counts, "train_aug": len(names), "weak": len(weak), "objects": objects}, missing)


def _lacking(voc: Path, sbd: Path, name: str) -> list[str]:
    """The missing files of an image: its photograph, its mask."""
    lacking = [] if (voc / "JPEGImages" / f"{name}.jpg").is_file() else [f"JPEGImages/{name}.jpg"]
    masks = (voc / "SegmentationClass" / f"{name}.png", sbd / "cls" / f"{name}.mat")
    return lacking if any(mask.is_file() for mask in masks) else [*lacking, f"cls/{name}.mat"]


def _write_mask(voc: Path, sbd: Path, name: str, kind: Literal["Class", "Object"]) -> bool:
    """Write the mask of an image, or that of its objects; returns whether there is one."""
    target, official = (voc / f"Segmentation{kind}{end}" / f"{name}.png" for end in ("Aug", ""))
    other = sbd / ("cls" if kind == "Class" else "inst") / f"{name}.mat"
    if target.exists():
        return True
    if not official.is_file() and not other.is_file():
        return False
    read_other = sbd_labels if kind == "Class" else lambda path: sbd_objects(path)[0]
    write_labels(target, read_labels(official) if official.is_file() else read_other(other))
    return True


def _write_list(path: Path, names: Sequence[str]) -> None:
    with replacing(path) as partial:
        partial.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


if __name__ == "__main__":
    exit_with(main)
