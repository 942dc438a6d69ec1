"""Reading files with errors that name them, and writing files and folders that are complete and belong together."""

import json
import os
import re
import shutil
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` for a file or a folder: renamed to `path` at the end, removed where the body raises.

    A folder replaces nothing but an empty one; OSError says so where there is something else.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
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


def load_arrays(path: str | os.PathLike[str]) -> Any:
    """The array in an .npy file, or those in an .npz file by name; nothing in the file is executed.

    Raises FileNotFoundError where there is no such file, and ValueError, naming the file, where NumPy cannot read it.
    """
    import numpy as np  # the commands that read no arrays start without it

    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            arrays = dict(loaded)
    except Exception as error:  # NumPy lets out whatever its readers trip over, from zlib.error to MemoryError
        reason = "it holds no arrays of numbers" if "allow_pickle" in str(error) else _first_line(error)
        raise ValueError(
            f"{os.fspath(path)} cannot be read ({reason}); wanted a complete .npy or .npz file of numbers"
        ) from error
    foreign = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if foreign:
        raise ValueError(
            f"{os.fspath(path)} cannot be read ({foreign[0]} in it is no array); wanted an .npz file of numbers"
        )
    return arrays


def load_torch(path: str | os.PathLike[str], wanted: str) -> Any:
    """The content of a file of torch, tensors on the CPU; nothing in the file is executed (`weights_only=True`).

    Raises FileNotFoundError where there is no such file, and ValueError, saying that a `wanted` was expected, where torch
    cannot read it.
    """
    import torch  # commands that read their options alone do without

    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no {wanted} at {os.fspath(path)!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd protocols and TorchScript, which the error tells better
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch lets out whatever its readers trip over, from struct.error to AssertionError
        reason = _why_not(error)
    # Outside of the handler, so that a traceback does not show torch's advice to execute what is in the file.
    raise ValueError(f"{os.fspath(path)!r} cannot be read: {reason}; wanted a {wanted}")


def _why_not(error: Exception) -> str:
    """Why torch does not load a file, in our words where torch advises to set `weights_only=False`."""
    text = str(error)
    foreign = re.search(r"GLOBAL ([\w.]+)", text)
    if foreign:
        return (
            f"it needs {foreign[1]}, and code named in a file is not run; save tensors alone, as in model.state_dict()"
        )
    if "TorchScript" in text:
        return "it is a TorchScript program; save tensors alone, as in model.state_dict()"
    if "weights_only" in text:
        return "it is damaged, or not a file of torch"
    return f"it is damaged, or not a file of torch ({_first_line(error).partition('. This is')[0]})"


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """What the content of a file makes the body raise becomes a ValueError with the name of the file in it."""
    try:
        yield
    except (AttributeError, KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, ValueError) and os.fspath(path) in str(error):
            raise
        reason = f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise ValueError(f"{os.fspath(path)!r} does not fit: {reason}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def claim(about: Path, settings: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> None:
    """Note in the file `about` what everything else in its folder is made with, and `facts` beside it.

    A new folder, or one that holds nothing else, is claimed. Raises ValueError where it holds files that were made with
    other or unknown settings.
    """
    wanted = json.loads(json.dumps(settings))
    about.parent.mkdir(parents=True, exist_ok=True)
    if any(path != about for path in about.parent.iterdir()):
        content = read_json(about) if about.exists() else None
        found = content.get("settings") if isinstance(content, dict) else None
        if not isinstance(found, dict):
            raise ValueError(
                f"{about.parent} holds files, and no {about.name} that says what they were made with; pass another folder "
                "as --out"
            )
        different = sorted(name for name in found | wanted if found.get(name) != wanted.get(name))
        if different:
            raise ValueError(
                f"{about.parent} holds files made with another {', '.join(different)} (see {about.name}); pass another "
                "folder as --out"
            )
        return
    with replacing(about) as partial:
        partial.write_text(json.dumps({"settings": wanted, **(facts or {})}, indent=2) + "\n", encoding="utf-8")
