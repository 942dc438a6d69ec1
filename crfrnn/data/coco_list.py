"""Write a list of the images of COCO that show enough of VOC's classes to learn from.

python -m crfrnn.data.coco_list --data COCO --splits train2014 val2014 --out FILE

Every outline is drawn once, which takes minutes for all of COCO; `CocoSegmentation` and the recipes take the list.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm import tqdm

from crfrnn._command import description, exit_code, exit_with
from crfrnn._files import replacing
from crfrnn.data.coco import CocoSegmentation
from crfrnn.data.sample import VOID


@dataclass(frozen=True)
class Options:
    data: Path
    """folder of COCO"""
    out: Path
    """file to write, which must not exist yet; its folder is made if missing"""
    splits: tuple[str, ...] = ("train2014",)
    """names of annotation files"""
    pixels: int = 200
    """how many pixels of VOC's classes an image must show, not counting crowds"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 2 for bad input."""
    options = tyro.cli(Options, args=argv, prog="python -m crfrnn.data.coco_list", description=description(__doc__))
    return exit_code("crfrnn.data.coco_list", lambda: run(options))


def run(options: Options) -> int:
    """Write the list and say how long it is."""
    total, lines = write_list(options)
    print(f"{options.out}: {lines} of {total} images have {options.pixels} pixels of VOC's classes or more")
    return 0


def write_list(options: Options) -> tuple[int, int]:
    """Write the file; returns how many images there are and how many are in it. Raises as `CocoSegmentation`."""
    if options.out.exists():
        raise ValueError(f"{options.out} exists; choose another name, or remove it first")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sets = [CocoSegmentation(options.data, split) for split in options.splits]
    lines = [key for dataset in sets for key in images_with(dataset, options.pixels)]
    with replacing(options.out) as partial:
        partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return sum(map(len, sets)), len(lines)


def images_with(dataset: CocoSegmentation, pixels: int) -> Iterator[str]:
    """The keys of the images that have `pixels` or more that are neither background nor void."""
    for index, key in enumerate(tqdm(dataset.keys, desc="COCO", unit="image", disable=len(dataset) < 100)):
        labels = dataset.labels(index)
        if int(((labels != 0) & (labels != VOID)).sum()) >= pixels:
            yield key


if __name__ == "__main__":
    exit_with(main)
