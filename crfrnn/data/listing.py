"""Lists of images: where they are, what they name, and whether the files of the named images exist."""

import os
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path


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


def find_list(split: str | PathLike[str], folders: Sequence[Path], otherwise: str = "") -> Path:
    """As `look_for_list`, but raises FileNotFoundError, saying which lists there are, where there is no such list.

    `otherwise` is what else may be passed as `split`.
    """
    found = look_for_list(split, folders)
    if found is None:
        available = ", ".join(sorted(path.stem for folder in folders for path in folder.glob("*.txt"))) or "none"
        raise FileNotFoundError(
            f"there is no list {split!s}: found {available} in {' and '.join(map(str, folders))}, and no file has that "
            f"path; pass one of these names, or the path of a list file{otherwise and f', or {otherwise}'}"
        )
    return found


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
