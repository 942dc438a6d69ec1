"""What a data set in folders consists of, resolved from options or read from the file that a run keeps of it."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from crfrnn._files import naming, read_json, replacing
from crfrnn.data.folders.colors import VOID_NAME, read_colors
from crfrnn.data.listing import read_lines
from crfrnn.data.sample import VOID
from crfrnn.folders import Folders

_VAL_SHARE = 0.2


@dataclass(frozen=True)
class FolderSet:
    """Folders, labels and lists of a data set.

    `colors` are pairs of an RGB color and its label (255 for void), or none where masks hold labels. `lists` has the names
    of the images in the lists train and val; it is empty where an image has no mask, and where
    there is only one, so that only list files can be used, or all of them.
    """

    images: Path
    masks: Path
    classes: tuple[str, ...]
    colors: tuple[tuple[tuple[int, int, int], int], ...]
    void: int
    lists: Mapping[str, Sequence[str]]


def source_of(data: Path | None, options: Folders, classes: Sequence[str] = ()) -> Path | FolderSet:
    """The data set that a command names: --data, or folders, whose labels have the names `classes` where no flag says more.

    Raises ValueError unless exactly one of the two is given, and as `folder_set`.
    """
    if data is not None and options == Folders():
        return data
    if data is None and options != Folders():
        return folder_set(options, classes)
    given = "neither --data nor" if data is None else f"both --data {data} and flags of"
    raise ValueError(f"{given} a data set in folders (--images, --masks, ...) was given; wanted one of the two")


def folder_set(options: Folders, classes: Sequence[str] = ()) -> FolderSet:
    """The data set that `options` describe, with `classes` where they name none.

    Raises FileNotFoundError where a folder or file is missing, and ValueError where the options do not fit together.
    """
    if options.images is None or options.masks is None:
        raise ValueError("a data set in folders needs both --images and --masks; pass both, or --data instead")
    images, masks = files_by_name(options.images), files_by_name(options.masks)
    table = [] if options.colors is None else read_colors(options.colors)
    named = tuple(name for _, name in table if name != VOID_NAME)
    wanted = given_names(options.classes) or tuple(classes) or named
    if named and wanted != named:
        raise ValueError(
            f"{options.colors} names the labels {', '.join(named)}, yet they are {', '.join(wanted)}; wanted the same "
            "names in the same order"
        )
    if not wanted:
        raise ValueError("the labels have no names; pass --classes with the names of the labels 0, 1, ...")
    check_classes(wanted)
    if not table and not len(wanted) <= options.void <= VOID:
        raise ValueError(
            f"--void is {options.void}; wanted a value from {len(wanted)} to {VOID}, since 0..{len(wanted) - 1} are labels"
        )
    colors = tuple((color, VOID if name == VOID_NAME else wanted.index(name)) for color, name in table)
    drawable = len(images) > 1 and not set(images) - set(masks)
    lists = split(sorted(images), options.split_seed) if drawable else {}
    return FolderSet(options.images.resolve(), options.masks.resolve(), wanted, colors, options.void, lists)


def files_by_name(folder: Path) -> dict[str, Path]:
    """The image files in a folder by their names without extension. Raises where there are none, or two of one name."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    suffixes = set(Image.registered_extensions())
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in files:
            raise ValueError(
                f"{folder} holds both {files[path.stem].name} and {path.name}; remove or rename one of them"
            )
        files[path.stem] = path
    if not files:
        raise FileNotFoundError(f"{folder} holds no image files; wanted them in the folder itself")
    return files


def split(names: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Lists train and val: a fifth of the names for val, drawn at random, and at least one for each."""
    count = max(1, round(_VAL_SHARE * len(names)))
    drawn = set(random.Random(seed).sample(list(names), count))
    return {"train": [name for name in names if name not in drawn], "val": [name for name in names if name in drawn]}


def given_names(given: Sequence[str]) -> tuple[str, ...]:
    """The names of labels in --classes: one each, or the lines of a single file. Raises ValueError where it is neither."""
    if len(given) == 1:
        if not Path(given[0]).is_file():
            raise ValueError(f"--classes is {given[0]}; wanted the names of two or more labels, or a file that exists")
        return tuple(read_lines(Path(given[0])))
    return tuple(given)


def check_classes(classes: Sequence[str]) -> None:
    """Raise ValueError where names of labels are too few, too many, or repeated."""
    if not 2 <= len(classes) <= VOID or len(set(classes)) < len(classes):
        raise ValueError(
            f"there are {len(classes)} names of labels, {len(set(classes))} of them different; wanted 2 to {VOID} "
            "different names"
        )


def write_folder_set(path: Path, source: FolderSet) -> None:
    """Write a data set down, with its lists. Raises ValueError where `path` describes another one."""
    if path.exists():
        if read_folder_set(path) != source:
            raise ValueError(
                f"{path} describes another data set than the flags do; leave the flags out to continue with its own, or "
                "pass another --out"
            )
        return
    with replacing(path) as partial:
        partial.write_text(json.dumps(asdict(source), indent=2, default=str) + "\n", encoding="utf-8")


def read_folder_set(path: Path) -> FolderSet:
    """The data set that a file describes. Raises FileNotFoundError or ValueError where it cannot be read."""
    content = read_json(path)
    with naming(path):
        colors = tuple(((int(r), int(g), int(b)), int(label)) for (r, g, b), label in content["colors"])
        classes = tuple(str(name) for name in content["classes"])
        check_classes(classes)
        lists = {str(name): [str(item) for item in items] for name, items in content["lists"].items()}
        return FolderSet(Path(content["images"]), Path(content["masks"]), classes, colors, int(content["void"]), lists)
