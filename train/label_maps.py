"""Label maps made from boxes, a folder for each kind, with a file beside them that says what they were made from."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from crfrnn._files import claim, read_json
from crfrnn.data import (
    CocoSegmentation,
    FolderSet,
    LabeledBox,
    VOCSegmentation,
    class_names,
    list_names,
    object_boxes,
    open_set,
    read_image,
    read_labels,
    region_boxes,
    source_of,
    voc_boxes,
    write_labels,
)
from crfrnn.presets import FixedCRF
from crfrnn.weak import rect_targets, seg_targets
from eval.scoring.record import commit, hardware

if TYPE_CHECKING:
    from train.targets import Options

PARAMETERS = "parameters.json"

Read = Callable[[int], tuple[Tensor, list[LabeledBox]]]


def make(options: "Options", command: str) -> int:
    """Write what is not there yet. Raises OSError or ValueError where data or folder are no good."""
    names, read = open_boxes(options)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    origin = {"command": command, "commit": commit(), "hardware": hardware(device)}
    for kind in options.kinds:
        remove_leftovers(options.out / kind)
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


def remove_leftovers(folder: Path) -> None:
    """Remove what a command that was killed left half-written in a folder of label maps."""
    for partial in [*folder.glob(".*.png.*"), *folder.glob(f".{PARAMETERS}.*")]:
        partial.unlink(missing_ok=True)


def target(kind: str, image: Tensor, boxes: Sequence[LabeledBox], seg: FixedCRF) -> Tensor:
    """The label map of one kind, uint8 [H, W] on the CPU."""
    return rect_targets(boxes, *image.shape[1:]) if kind == "rect" else seg_targets(image, boxes, seg)


def open_boxes(options: "Options") -> tuple[list[str], Read]:
    """The names of the images, and what reads image and boxes by number. Raises as the data sets do."""
    data = source_of(options.data, options.folders)
    if options.boxes == "regions":
        masks = open_set(data, options.split)
        return masks.names, lambda index: (masks[index].image, region_boxes(masks[index].labels))
    if isinstance(data, FolderSet) or data.suffix == ".json":
        raise ValueError(
            f"--boxes is {options.boxes}, and masks in folders tell no objects apart; pass --boxes regions to put boxes "
            "around their connected regions"
        )
    if options.boxes == "coco":
        coco = CocoSegmentation(data, options.split)
        return coco.names, lambda index: (coco.image(index), coco.boxes(index))
    if options.boxes == "xml":
        root, names = list_names(data, options.split)
        classes = class_names(root)
        return names, lambda index: (
            read_image(root / "JPEGImages" / f"{names[index]}.jpg"),
            voc_boxes(root / "Annotations" / f"{names[index]}.xml", classes),
        )
    voc = VOCSegmentation(data, options.split)
    files = object_files(voc.root, voc.names)

    def read(index: int) -> tuple[Tensor, list[LabeledBox]]:
        image, labels, name = voc[index]
        return image, object_boxes(read_labels(files[name]), labels)

    return voc.names, read


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


def settings(options: "Options", kind: str) -> dict[str, Any]:
    """What the label maps of one folder have in common."""
    return {
        "kind": kind,
        "data": str((options.data or options.folders.masks or Path()).resolve()),
        "boxes": options.boxes,
        "seg": asdict(options.seg) if kind == "seg" else None,
    }


def check_rect(folder: Path) -> None:
    """Raise ValueError where label maps are known to be no boxes: masks would give away more than boxes do."""
    parameters = folder / PARAMETERS
    if not parameters.exists():
        return
    content = read_json(parameters)
    settings = content.get("settings") if isinstance(content, dict) else None
    kind = settings.get("kind") if isinstance(settings, dict) else None
    if kind is None:
        raise ValueError(
            f"{parameters} does not say of which kind the maps beside it are; make them again (train.targets)"
        )
    if kind != "rect":
        raise ValueError(f"{folder} holds maps of the kind {kind!r}; boxes are to be those of `rect`")
