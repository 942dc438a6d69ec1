"""Writing files so that what stands under a name is complete, and folders so that what they hold belongs together."""

import json
import os
import pickle
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to: renamed to `path` at the end, removed where the body raises."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """The content of a JSON file. NaN and infinite numbers, which Python's reader accepts, are for the caller to refuse.

    Raises FileNotFoundError where there is no such file, and ValueError, naming the file, where it is not JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError as error:
        raise ValueError(f"{path} cannot be read: its lists and objects are nested too deeply") from error
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise ValueError(f"{path} cannot be read ({error}); wanted a complete JSON file in UTF-8") from error


def load_torch(path: str | os.PathLike[str], wanted: str) -> Any:
    """The content of a file of torch, tensors on the CPU; nothing in the file is executed (`weights_only=True`).

    Raises FileNotFoundError where there is no such file, and ValueError, saying that a `wanted` was expected, where torch
    cannot read it.
    """
    import torch  # commands that read their options alone do without

    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no {wanted} at {os.fspath(path)!r}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{os.fspath(path)!r} is damaged or something else; wanted a {wanted}: {reason}") from error


def claim(about: Path, settings: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> None:
    """Note in the file `about` what everything else in its folder is made with, and `facts` beside it.

    A folder that is new, or holds nothing else, becomes ours. Raises ValueError where it holds files that were made with
    other settings, or nobody knows how.
    """
    wanted = json.loads(json.dumps(settings))
    about.parent.mkdir(parents=True, exist_ok=True)
    if any(path != about for path in about.parent.iterdir()):
        found = json.loads(about.read_text(encoding="utf-8"))["settings"] if about.exists() else {}
        different = sorted(name for name in found | wanted if found.get(name) != wanted.get(name))
        if different:
            raise ValueError(
                f"{about.parent} holds files made with another {', '.join(different)} (see {about.name}); pass another "
                "folder as --out"
            )
        return
    with replacing(about) as partial:
        partial.write_text(json.dumps({"settings": wanted, **(facts or {})}, indent=2) + "\n", encoding="utf-8")
