"""The archive that the evaluation server of PASCAL VOC takes: results/VOC2012/Segmentation/COMP_test_cls/ID.png.

Each PNG is a palette image in VOC's colors with labels 0..20, as large as its photograph.
"""

import gzip
import io
import lzma
import tarfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from crfrnn._files import replacing
from crfrnn.data import VOC_CLASSES, voc_palette

COMPETITIONS = ("comp5", "comp6")
"""comp5 is for models trained on VOC alone; comp6 allows other data too, such as SBD's masks and COCO"""
LISTED = 5  # most names in a message


def folder_of(competition: str, split: str) -> str:
    """The folder in the archive. Raises ValueError for a competition that has no segmentation."""
    if competition not in COMPETITIONS:
        raise ValueError(f"the competition is {competition!r}; wanted one of {', '.join(COMPETITIONS)}")
    return f"results/VOC2012/Segmentation/{competition}_{split}_cls"


def write_archive(labels: Mapping[str, Path], out: Path, competition: str, split: str) -> None:
    """Pack label maps, PNG files by id, as a .tar.gz whose bytes follow from theirs: it holds no times and no owners."""
    folder = folder_of(competition, split)
    with (
        replacing(out) as partial,
        partial.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, path in labels.items():
            about = tarfile.TarInfo(f"{folder}/{name}.png")
            about.size = path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(about, content)


def problems(archive: Path, sizes: Mapping[str, tuple[int, int]], competition: str, split: str) -> list[str]:
    """What the server would refuse or score wrongly, one line each; nothing for a good archive.

    Args:
        archive: the file to check.
        sizes: width and height of the photograph of every id that has to be there.

    Raises FileNotFoundError where there is no such file.
    """
    folder = folder_of(competition, split)
    if not archive.is_file():
        raise FileNotFoundError(f"there is no archive {archive}")
    try:
        with tarfile.open(archive) as tar:
            members = [member for member in tar.getmembers() if member.isfile()]
            content = {member.name: read(tar, member) for member in members}
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        return [f"{archive} is not a readable tar archive ({error}); pack it again"]
    wanted = {f"{folder}/{name}.png": size for name, size in sizes.items()}
    counts = Counter(member.name for member in members)
    found = [
        named("is there more than once", [path for path, count in counts.items() if count > 1], folder),
        named("is missing", [path for path in wanted if path not in content], folder),
        named("does not belong there", [path for path in content if path not in wanted], folder),
    ]
    found += [fault(path, content[path], size) for path, size in wanted.items() if path in content]
    return [line for line in found if line]


def read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return b"" if file is None else file.read()


def named(what: str, paths: Sequence[str], folder: str) -> str:
    """One line about some files, the first of them by name; empty where there are none."""
    if not paths:
        return ""
    more = f" and {len(paths) - LISTED} more" if len(paths) > LISTED else ""
    return f"{', '.join(paths[:LISTED])}{more}: {what}; wanted exactly the images of the list, in {folder}"


def fault(path: str, content: bytes, size: tuple[int, int]) -> str:
    """What is wrong with one label map; empty where nothing is."""
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            picture.load()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        return f"{path} is not a readable PNG ({error})"
    if picture.mode != "P":
        return f"{path} holds {picture.mode} pixels; wanted a palette PNG, as crfrnn.data.write_labels makes them"
    if picture.size != size:
        return f"{path} is {picture.size[0]} x {picture.size[1]}; wanted {size[0]} x {size[1]} as its photograph"
    colors = np.array(picture.getpalette(), dtype=np.uint8).reshape(-1, 3)[: len(VOC_CLASSES)]
    if not np.array_equal(colors, voc_palette()[: len(VOC_CLASSES)].numpy()):
        return f"{path} has other colors than VOC's palette; write it with crfrnn.data.write_labels"
    wrong = sorted(set(np.unique(np.array(picture)).tolist()) - set(range(len(VOC_CLASSES))))
    if wrong:
        return f"{path} holds the label {wrong[0]}; wanted 0..{len(VOC_CLASSES) - 1}, without void"
    return ""
