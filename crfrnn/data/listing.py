"""Lists of images: where they are, what they name, and whether the files of the named images exist."""

import os
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

_VOC = "python -m crfrnn.data.download voc2012 --out DIR fetches PASCAL VOC, which has it, into DIR/VOCdevkit"
_TRAIN_AUG = (
    "python -m crfrnn.data.train_aug --voc {root} --sbd DIR/benchmark_RELEASE/dataset makes it of PASCAL VOC and SBD "
    "(python -m crfrnn.data.download voc2012 sbd --out DIR fetches both)"
)
_MSRC = (
    "python -m crfrnn.data.download msrc21 --out DIR fetches MSRC-21, whose archive has no lists: write the names of the "
    "standard split, one a line, into {split}.txt beside Images"
)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, stripped and without empty ones. Raises ValueError where it is not in UTF-8."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error}); save it as UTF-8") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_list(path: Path) -> list[str]:
    """The lines of a list. Raises ValueError where there are none."""
    lines = read_lines(path)
    if not lines:
        raise ValueError(f"the list {path} is empty; wanted one image a line")
    return lines


def look_for_list(split: str | PathLike[str], folders: Sequence[Path]) -> Path | None:
    """The first `split`.txt in `folders`, else the file of the path `split`, else None."""
    is_name = Path(split).name == os.fspath(split)
    named = [folder / f"{split}.txt" for folder in folders] if is_name else []
    return next((path for path in (*named, Path(split)) if path.is_file()), None)


def find_list(split: str | PathLike[str], folders: Sequence[Path], otherwise: str = "", origin: str = "") -> Path:
    """As `look_for_list`, but raises FileNotFoundError, saying which lists there are, where there is no such list.

    `otherwise` is what else may be passed as `split`, `origin` what makes or fetches it (see `origin_of`).
    """
    found = look_for_list(split, folders)
    if found is None:
        available = ", ".join(sorted(path.stem for folder in folders for path in folder.glob("*.txt"))) or "none"
        raise FileNotFoundError(
            f"there is no list {split!s}: found {available} in {' and '.join(map(str, folders))}, and no file has that "
            f"path; pass one of these names, or the path of a list file{otherwise and f', or {otherwise}'}"
            f"{origin and f'. {origin}'}"
        )
    return found


def origin_of(split: str | PathLike[str], root: Path) -> str:
    """What makes or fetches a list by its name, for messages; empty for a list of the user's own."""
    return {
        "train": _VOC,
        "val": _VOC,
        "trainval": _VOC,
        "train_aug": _TRAIN_AUG.format(root=root),
        "weak": _TRAIN_AUG.format(root=root),
        "strong": "python -m train.weak_table writes it",
        "Train": _MSRC,
        "Val": _MSRC,
        "Test": _MSRC,
    }.get(os.fspath(split), "").format(split=split)


def check_files(paths: Iterable[Path], listed_in: str | PathLike[str], otherwise: str = "") -> None:
    """Raise FileNotFoundError where some of the files do not exist. `otherwise` adds another remedy to the message."""
    paths = list(paths)
    # One listing of a folder instead of a hundred thousand questions to what may be a network drive.
    listings = {folder: set(os.listdir(folder)) if folder.is_dir() else set() for folder in {p.parent for p in paths}}
    missing = [str(path) for path in paths if path.name not in listings[path.parent]]
    if missing:
        files, do = ("file", "does") if len(missing) == 1 else ("files", "do")
        raise FileNotFoundError(
            f"{len(missing)} {files} listed in {listed_in} {do} not exist: {', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}. Add them, or take their lines out of the list{otherwise}"
        )
