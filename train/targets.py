"""Turn boxes into label maps to train on, once: Bbox-Rect and Bbox-Seg as palette PNGs.

python -m train.targets --data VOCdevkit --list train_aug --boxes objects --out DIR
python -m train.targets --data COCO --list train2014 --boxes coco --out DIR

Writes DIR/rect/<name>.png and DIR/seg/<name>.png, in each folder with a parameters.json. What is there already is kept, so
that it can be interrupted and started again. `python -m train.run --recipe weak_box_seg --targets DIR` trains on them.
"""

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from crfrnn._command import exit_code
from crfrnn._files import claim
from crfrnn.data import (
    CocoSegmentation,
    LabeledBox,
    VOCSegmentation,
    class_names,
    list_names,
    object_boxes,
    read_image,
    read_labels,
    region_boxes,
    voc_boxes,
    write_labels,
)
from crfrnn.presets import BBOX_SEG_CRF, FixedCRF
from crfrnn.weak import rect_targets, seg_targets
from eval.scoring.record import commit, hardware

PARAMETERS = "parameters.json"

Read = Callable[[int], tuple[Tensor, list[LabeledBox]]]


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
    options = tyro.cli(Options, args=argv, prog="python -m train.targets", description=__doc__)
    return exit_code("train.targets", lambda: run(options, shlex.join(["python", "-m", "train.targets", *argv])))


def run(options: Options, command: str) -> int:
    """Write what is not there yet. Raises OSError or ValueError where data or folder are no good."""
    names, read = open_boxes(options)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    origin = {"command": command, "commit": commit(), "hardware": hardware(device)}
    for kind in options.kinds:
        claim(options.out / kind / PARAMETERS, settings(options, kind), origin)
    written = 0
    for index, name in enumerate(tqdm(names, desc="targets", unit="image", disable=len(names) < 20)):
        files = {kind: options.out / kind / f"{name}.png" for kind in options.kinds}
        left = [kind for kind, file in files.items() if not file.exists()]
        if left:
            image, boxes = read(index)
            for kind in left:
                try:
                    labels = target(kind, image.to(device), boxes, options.seg)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error
                write_labels(files[kind], labels)
            written += 1
    print(f"{written} of {len(names)} images done, the others were there; in {options.out}: {', '.join(options.kinds)}")
    return 0


def target(kind: str, image: Tensor, boxes: Sequence[LabeledBox], seg: FixedCRF) -> Tensor:
    """The label map of one kind, uint8 [H, W] on the CPU."""
    return rect_targets(boxes, *image.shape[1:]) if kind == "rect" else seg_targets(image, boxes, seg)


def open_boxes(options: Options) -> tuple[list[str], Read]:
    """The names of the images, and what reads image and boxes by number. Raises as the data sets do."""
    if options.boxes == "coco":
        coco = CocoSegmentation(options.data, options.split)
        return coco.names, lambda index: (coco.image(index), coco.boxes(index))
    if options.boxes == "xml":
        root, names = list_names(options.data, options.split)
        classes = class_names(root)
        return names, lambda index: (
            read_image(root / "JPEGImages" / f"{names[index]}.jpg"),
            voc_boxes(root / "Annotations" / f"{names[index]}.xml", classes),
        )
    masks = VOCSegmentation(options.data, options.split)
    if options.boxes == "regions":
        return masks.names, lambda index: (masks[index].image, region_boxes(masks[index].labels))
    files = object_files(masks.root, masks.names)

    def read(index: int) -> tuple[Tensor, list[LabeledBox]]:
        image, labels, name = masks[index]
        return image, object_boxes(read_labels(files[name]), labels)

    return masks.names, read


def object_files(root: Path, names: Sequence[str]) -> dict[str, Path]:
    """The masks of objects of every image, VOC's own where train_aug has none. Raises FileNotFoundError for missing ones."""
    folders = [root / name for name in ("SegmentationObjectAug", "SegmentationObject")]
    there = {path for folder in folders if folder.is_dir() for path in folder.iterdir()}
    files = {name: next((f for folder in folders if (f := folder / f"{name}.png") in there), None) for name in names}
    missing = [name for name, file in files.items() if file is None]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(names)} images, such as {missing[0]}, have no masks of objects in {folders[0]} or "
            f"{folders[1].name}; pass --boxes regions to put boxes around the connected regions of the class masks, "
            "--boxes xml, or a list without these images"
        )
    return {name: file for name, file in files.items() if file is not None}


def settings(options: Options, kind: str) -> dict[str, Any]:
    """What the label maps of one folder have in common."""
    return {
        "kind": kind,
        "data": str(options.data.resolve()),
        "boxes": options.boxes,
        "seg": asdict(options.seg) if kind == "seg" else None,
    }


if __name__ == "__main__":
    sys.exit(main())
