"""Label maps made from boxes and scribbles, a folder for each kind, and a file in it that says what they were made from."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import torch
from torch import Tensor
from tqdm import tqdm

from crfrnn._files import claim, read_json
from crfrnn.data import (
    VOID,
    CocoSegmentation,
    FolderSet,
    LabeledBox,
    SegmentationSet,
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
from crfrnn.data.folders import read_folder_set
from crfrnn.presets import FixedCRF
from crfrnn.weak import mask_scribbles, rect_targets, scribble_map, seg_targets, voc_scribbles
from eval.scoring.record import commit, hardware

if TYPE_CHECKING:
    from train.targets import Options

PARAMETERS = "parameters.json"

NAMES = {"rect": "boxes", "scribbles": "scribbles"}
"""what the annotation is called that label maps of a kind are for"""

Read = Callable[[int], tuple[Tensor, list[LabeledBox]]]
Draw = Callable[[int], Tensor]


def make(options: "Options", command: str) -> int:
    """Write what is not there yet. Raises OSError or ValueError where data or folder are no good."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names, draw = open_kinds(options, device)
    origin = {"command": command, "commit": commit(), "hardware": hardware(device)}
    for kind in options.kinds:
        remove_leftovers(options.out / kind)
        claim(options.out / kind / PARAMETERS, settings(options, kind), origin)
    written = 0
    for index, name in enumerate(tqdm(names, desc="targets", unit="image", disable=len(names) < 20)):
        files = {kind: options.out / kind / f"{name}.png" for kind in options.kinds}
        left = [kind for kind, file in files.items() if not file.exists()]
        for kind in left:
            try:
                labels = draw[kind](index)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
            write_labels(files[kind], labels)
        written += bool(left)
    print(f"{written} of {len(names)} images done, the others were there; in {options.out}: {', '.join(options.kinds)}")
    return 0


def open_kinds(options: "Options", device: torch.device) -> tuple[list[str], dict[str, Draw]]:
    """The names of the images, and what makes their label maps of each kind. Raises as the data sets do."""
    draw: dict[str, Draw] = {}
    names: list[str] = []
    if "scribbles" in options.kinds:
        names, draw["scribbles"] = open_scribbles(options)
    if set(options.kinds) - {"scribbles"}:
        names, read = open_boxes(options)
        read = lru_cache(maxsize=1)(read)  # one image for both kinds
        for kind in ("rect", "seg"):
            draw[kind] = partial(box_map, kind, read, device, options.seg)
    return names, draw


def box_map(kind: str, read: Read, device: torch.device, seg: FixedCRF, index: int) -> Tensor:
    """A label map made from boxes."""
    image, boxes = read(index)
    return target(kind, image.to(device), boxes, seg)


def open_scribbles(options: "Options") -> tuple[list[str], Draw]:
    """The names of the images, and what draws their scribbles: those in a folder, or strokes made from the masks."""
    data = source_of(options.data, options.folders)
    if options.scribbles is not None:
        if isinstance(data, FolderSet) or data.suffix == ".json":
            raise ValueError(
                "--scribbles holds the strokes of images of VOC; pass VOCdevkit as --data, or leave it out to make "
                "scribbles from the masks"
            )
        return published_scribbles(data, options.split, options.scribbles)
    if options.boxes == "coco":
        if isinstance(data, FolderSet):
            raise ValueError("--boxes is coco, and the images are in folders; pass the folder of COCO as --data")
        masks: SegmentationSet = CocoSegmentation(data, options.split)
    else:
        masks = open_set(data, options.split)

    def draw(index: int) -> Tensor:
        labels, name = masks[index].labels, masks.names[index]
        drawn = scribble_map(mask_scribbles(labels, [options.seed, crc32(name.encode())]), *labels.shape)
        return drawn.masked_fill(drawn != labels, VOID)  # a line between two pixels of a region may leave it

    return masks.names, draw


def published_scribbles(data: Path, split: str, folder: Path) -> tuple[list[str], Draw]:
    """The names of the images, and what draws the strokes in the XML files of a folder."""
    root, names = list_names(data, split)
    classes = class_names(root)
    files = [folder / f"{name}.xml" for name in names]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(names)} images have no scribbles in {folder}, such as {missing[0].name}; wanted the "
            "folder pascal_2012 of ScribbleSup, or leave --scribbles out to make scribbles from the masks"
        )

    def draw(index: int) -> Tensor:
        strokes, size = voc_scribbles(files[index], classes)
        return scribble_map(strokes, *size)

    return names, draw


def remove_leftovers(folder: Path) -> None:
    """Remove what a command that was killed left half-written in a folder of label maps."""
    for file in [*folder.glob(".*.png.*"), *folder.glob(f".{PARAMETERS}.*")]:
        file.unlink(missing_ok=True)


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
    data = source_of(options.data, options.folders)
    if isinstance(data, Path) and data.suffix == ".json":
        data = read_folder_set(data)
    if isinstance(data, FolderSet):
        own = {name: value for name, value in asdict(data).items() if name != "lists"}
        common = {name: str(value.resolve()) if isinstance(value, Path) else value for name, value in own.items()}
    else:
        common = {"data": str(data.resolve())}
    common["kind"] = kind
    if kind == "scribbles":
        scribbles = None if options.scribbles is None else str(options.scribbles.resolve())
        return {**common, "scribbles": scribbles, "seed": options.seed}
    return {**common, "boxes": options.boxes, "seg": asdict(options.seg) if kind == "seg" else None}


def check_kind(folder: Path, wanted: str) -> None:
    """Raise ValueError where label maps are known to be of another kind: masks would give away more than was meant."""
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
    if kind != wanted:
        raise ValueError(f"{folder} holds maps of the kind {kind!r}; {NAMES[wanted]} are to be those of `{wanted}`")
