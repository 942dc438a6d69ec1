"""Where the files of a part data set are, and which of its images are listed."""

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

from crfrnn.data.listing import find_list, read_list

ALL = "all"


def find_folder(root: Path, candidates: Iterable[str], pattern: str, what: str, origin: str) -> Path:
    """The first of the folders below `root` that holds a file like `pattern`.

    Raises FileNotFoundError where none does; `origin` says what fetches the data set.
    """
    names = list(candidates)
    for name in names:
        folder = root / name
        if folder.is_dir() and next(folder.glob(pattern), None) is not None:
            return folder
    raise FileNotFoundError(
        f"{root} holds no {what} ({pattern} in {', '.join(names)}); pass the folder of the data set. {origin}"
    )


def read_names(folders: Sequence[Path], split: str | PathLike[str]) -> list[str]:
    """The names in a list: `split`.txt in one of `folders`, or a file of that path.

    A name may be followed by 1, 0 or -1, as in VOC's lists of a class; -1 says that the image lacks the class. Raises
    FileNotFoundError where there is no such list, and ValueError where it names no image.
    """
    path = find_list(split, folders, f"{ALL!r} for every annotated image")
    rows = [line.split() for line in read_list(path)]
    names = [row[0] for row in rows if row[1:] != ["-1"]]
    if not names:
        raise ValueError(f"the list {path} names no image; wanted one without -1")
    return names
