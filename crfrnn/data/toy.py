"""A toy data set on disk, in the layout of PASCAL VOC, made by a seeded generator: no download, no license."""

import json
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from crfrnn._files import read_json, replacing
from crfrnn.data.palette import write_labels
from crfrnn.data.scenes import SHAPES, draw_scene

TOY_CLASSES = ("background", *(shape.name for shape in SHAPES))

_MARKER = "toy.json"
_GENERATOR = 1  # raise it when the same settings give other pictures
_SILENT_UP_TO = 50  # pictures


def make_toy(
    root: str | PathLike[str],
    num_train: int = 300,
    num_val: int = 60,
    size: tuple[int, int] = (96, 128),
    seed: int = 0,
) -> Path:
    """Make the toy set in the folder `root`, or find it there from an earlier call; returns the folder.

    `VOCSegmentation(root, "train")` and `"val"` read it. The folder appears when complete and not before. The same
    settings give the same bytes, and the first pictures of a split do not depend on how many follow.

    Args:
        root: the folder to make.
        num_train, num_val: pictures in each split; with five or more, every class occurs in it.
        size: height and width of the pictures in pixels, at least 48 each.
        seed: a whole number, 0 or more.

    Raises:
        ValueError: a setting out of range, or `root` already holds something else or a set with other settings.
    """
    root = Path(root)
    if num_train < 1 or num_val < 1 or min(size) < 48 or seed < 0:
        raise ValueError(
            f"got num_train={num_train}, num_val={num_val}, size={size}, seed={seed}; "
            "wanted at least one picture in each split, 48 pixels on each side and a seed of 0 or more"
        )
    settings = {"generator": _GENERATOR, "num_train": num_train, "num_val": num_val, "size": list(size), "seed": seed}
    if _is_complete(root, settings):
        return root
    try:
        with replacing(root.absolute()) as partial:
            _write(partial, {"train": num_train, "val": num_val}, size, seed)
            _write_lines(partial / _MARKER, [json.dumps(settings)])
    except OSError:  # another process may have been faster
        if not _is_complete(root, settings):
            raise
    return root


def _is_complete(root: Path, settings: dict[str, Any]) -> bool:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    marker = root / _MARKER
    if not marker.is_file():
        raise ValueError(f"{root} exists and is not a toy set (it has no {_MARKER}); choose another folder")
    found = read_json(marker)
    if found != settings:
        raise ValueError(
            f"{root} holds a toy set made with {found}; wanted {settings}: choose another folder, or delete this one"
        )
    return True


def _write(root: Path, counts: dict[str, int], size: tuple[int, int], seed: int) -> None:
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    names = {split: [f"{split}_{index:05d}" for index in range(count)] for split, count in counts.items()}
    total = sum(counts.values())
    with tqdm(total=total, desc="toy data", unit="image", disable=total <= _SILENT_UP_TO) as progress:
        for split_number, split in enumerate(names):
            for index, name in enumerate(names[split]):
                rng = np.random.default_rng((seed, split_number, index))
                image, labels = draw_scene(rng, size, first_label=1 + index % len(SHAPES))
                # 4:4:4, since halved chroma would smear the color edges that the labels follow.
                Image.fromarray(image).save(root / "JPEGImages" / f"{name}.jpg", quality=93, subsampling="4:4:4")
                write_labels(root / "SegmentationClass" / f"{name}.png", torch.from_numpy(labels))
                progress.update()
            _write_lines(root / "ImageSets" / "Segmentation" / f"{split}.txt", names[split])
    _write_lines(root / "classes.txt", TOY_CLASSES)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
