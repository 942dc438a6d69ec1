"""Turn boxes into label maps to train on, once: Bbox-Rect and Bbox-Seg as palette PNGs.

python -m train.targets --data VOCdevkit --list train_aug --boxes objects --out DIR
python -m train.targets --data COCO --list train2014 --boxes coco --out DIR

Writes DIR/rect/<name>.png and DIR/seg/<name>.png, in each folder with a parameters.json. What is there already is kept, so
that it can be interrupted and started again. `python -m train.run --recipe weak_box_seg --targets DIR` trains on them.
"""

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from crfrnn.data import (
    VOC_CLASSES,
    Box,
    CocoSegmentation,
    VOCSegmentation,
    list_names,
    object_boxes,
    read_boxes,
    read_image,
    read_labels,
    region_boxes,
    write_labels,
)
from crfrnn.weak import SegSettings, rect_targets, seg_targets
from eval.command import exit_code
from eval.files import replacing
from eval.provenance import commit, hardware

PARAMETERS = "parameters.json"

Read = Callable[[int], tuple[Tensor, list[Box]]]


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
    seg: SegSettings = field(default_factory=SegSettings)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 2 for bad input."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = tyro.cli(Options, args=argv, prog="python -m train.targets", description=__doc__)
    return exit_code("train.targets", lambda: run(options, shlex.join(["python", "-m", "train.targets", *argv])))


def run(options: Options, command: str) -> int:
    """Write what is not there yet. Raises OSError or ValueError where data or folder are no good."""
    names, read = open_boxes(options)
    for kind in options.kinds:
        claim(options.out / kind, settings(options, kind), command)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
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


def target(kind: str, image: Tensor, boxes: Sequence[Box], seg: SegSettings) -> Tensor:
    """The label map of one kind, uint8 [H, W] on the CPU."""
    return rect_targets(boxes, *image.shape[1:]) if kind == "rect" else seg_targets(image, boxes, seg)


def open_boxes(options: Options) -> tuple[list[str], Read]:
    """The names of the images, and what reads image and boxes by number. Raises as the data sets do."""
    if options.boxes == "coco":
        coco = CocoSegmentation(options.data, options.split)
        return coco.names, lambda index: (coco.image(index), coco.boxes(index))
    if options.boxes == "xml":
        root, names = list_names(options.data, options.split)
        return names, lambda index: (
            read_image(root / "JPEGImages" / f"{names[index]}.jpg"),
            read_boxes(root / "Annotations" / f"{names[index]}.xml", VOC_CLASSES),
        )
    masks = VOCSegmentation(options.data, options.split)
    if options.boxes == "regions":
        return masks.names, lambda index: (masks[index].image, region_boxes(masks[index].labels))
    folder = object_folder(masks.root)

    def read(index: int) -> tuple[Tensor, list[Box]]:
        image, labels, name = masks[index]
        return image, object_boxes(read_labels(folder / f"{name}.png"), labels)

    return masks.names, read


def object_folder(root: Path) -> Path:
    """The folder with masks of objects. Raises FileNotFoundError where there is none."""
    for name in ("SegmentationObjectAug", "SegmentationObject"):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(
        f"{root} has no masks of objects (SegmentationObject); pass --boxes regions to put boxes around the connected "
        "regions of the class masks, or --boxes xml"
    )


def settings(options: Options, kind: str) -> dict[str, Any]:
    """What the label maps of one folder have in common."""
    return {"kind": kind, "boxes": options.boxes, "seg": asdict(options.seg) if kind == "seg" else None}


def claim(folder: Path, wanted: dict[str, Any], command: str) -> None:
    """Make a folder and write down what is in it. Raises ValueError where it holds something made otherwise."""
    path = folder / PARAMETERS
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))["settings"]
        if found != wanted:
            raise ValueError(f"{folder} holds label maps made with {found}; wanted {wanted}: choose another --out")
        return
    folder.mkdir(parents=True, exist_ok=True)
    origin = {"settings": wanted, "command": command, "commit": commit(), "hardware": hardware(torch.device("cpu"))}
    with replacing(path) as partial:
        partial.write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
