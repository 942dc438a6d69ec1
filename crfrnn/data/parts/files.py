"""Where the files of a part data set lie, and which of its images are listed."""

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

ALL = "all"


def find_folder(root: Path, candidates: Iterable[str], pattern: str, what: str) -> Path:
    """The first of the folders below `root` that holds a file like `pattern`. Raises FileNotFoundError where none does."""
    names = list(candidates)
    for name in names:
        folder = root / name
        if folder.is_dir() and next(folder.glob(pattern), None) is not None:
            return folder
    raise FileNotFoundError(
        f"{root} holds no {what} ({pattern} in {', '.join(names)}); pass the folder of the data set"
    )


def read_list(folders: Sequence[Path], split: str | PathLike[str]) -> list[str]:
    """The names in a list: `split`.txt in one of `folders`, or a file of that path.

    Behind a name may stand 1, 0 or -1, as in VOC's lists of a class; -1 says that the image lacks it. Raises
    FileNotFoundError where there is no such list, and ValueError where it is empty.
    """
    for candidate in (*(folder / f"{split}.txt" for folder in folders), Path(split)):
        if candidate.is_file():
            rows = [line.split() for line in candidate.read_text(encoding="utf-8").splitlines() if line.strip()]
            names = [row[0] for row in rows if row[1:] != ["-1"]]
            if not names:
                raise ValueError(f"the list {candidate} names no image; wanted one a line")
            return names
    available = sorted(path.stem for folder in folders for path in folder.glob("*.txt"))
    raise FileNotFoundError(
        f"there is no list {split!s}: found {', '.join(available) or 'none'} in {folders[0]}, and no file has that path; "
        f"pass one of these, the path of a list, or {ALL!r} for every annotated image"
    )


def check_files(paths: Iterable[Path]) -> None:
    """Raise FileNotFoundError where some of the files do not exist."""
    listings: dict[Path, set[str]] = {}
    missing = []
    for path in paths:
        if path.parent not in listings:
            listings[path.parent] = {each.name for each in path.parent.iterdir()}
        if path.name not in listings[path.parent]:
            missing.append(path)
    if missing:
        shown = ", ".join(map(str, missing[:3]))
        raise FileNotFoundError(
            f"{len(missing)} files of listed images do not exist: {shown}{', ...' if len(missing) > 3 else ''}. Add them, "
            "or take the images out of the list"
        )
