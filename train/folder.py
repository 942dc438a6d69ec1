"""The folder of a run: its recipe, its checkpoints, its log."""

import dataclasses
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crfrnn._files import read_json, replacing
from crfrnn.nets import SegmentationModel, load_checkpoint, save_checkpoint
from train.options import RECIPE
from train.recipes import Recipe

LAST, LOG, FOLDERS = "last.pt", "log.txt", "folders.json"
BOARD, OVERVIEW = "tensorboard", "overview"


def plain(recipe: Recipe) -> dict[str, Any]:
    """A recipe as what its JSON file holds."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def command(argv: Sequence[str]) -> str:
    """The command line that a run was started with."""
    return shlex.join(["python", "-m", "train.run", *argv])


def free_folder(name: str) -> Path:
    """The next free one of runs/NAME-1, -2, ..., made at once: a command beside this one gets another."""
    number = 1
    while True:
        path = Path("runs") / f"{name}-{number}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return path


def open_folder(out: Path, recipe: Recipe, resume: bool) -> dict[str, Any] | None:
    """Make the folder of a run with its recipe in it, or continue one; returns its last checkpoint, if it has one.

    What a process that was killed left half-written is removed. Raises as `holds_run` does, and OSError where the folder
    cannot be written to.
    """
    if not holds_run(out, recipe, resume):
        out.mkdir(parents=True, exist_ok=True)
        with replacing(out / RECIPE) as partial:
            partial.write_text(json.dumps(plain(recipe), indent=2) + "\n", encoding="utf-8")
        return None
    for partial in out.glob(".*.pt.*"):
        partial.unlink(missing_ok=True)
    return load_checkpoint(out / LAST) if (out / LAST).exists() else None


@contextmanager
def continuing(path: Path) -> Iterator[None]:
    """What the content of the checkpoint `path` makes the body raise becomes a ValueError that names the file."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise ValueError(
            f"the run cannot continue from {path}: {reason}. Restore that file, or remove it to begin its stage again"
        ) from error


def holds_run(out: Path, recipe: Recipe, resume: bool) -> bool:
    """Whether a folder holds a run to continue. A folder in which nothing was trained counts as new.

    Raises ValueError where it holds a run that is not to be continued, or one of another recipe.
    """
    description = out / RECIPE
    if not description.exists() or not (resume or any(out.glob("*.pt"))):
        return False
    if not resume:
        raise ValueError(f"{out} already holds a run; pass --resume to continue it, or another --out")
    different = differences(read_json(description), plain(recipe))
    if different:
        raise ValueError(f"the run in {out} has another recipe: {', '.join(different)} differ; see {description}")
    return True


def differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    """Names, dotted, of what differs between two nested dictionaries."""
    if not isinstance(found, dict) or not isinstance(wanted, dict):
        return [] if found == wanted else [name]
    keys = [*wanted, *(key for key in found if key not in wanted)]
    return [
        path
        for key in keys
        for path in differences(found.get(key, ...), wanted.get(key, ...), f"{name}.{key}" if name else key)
    ]


def save(
    path: Path, model: SegmentationModel, architecture: dict, classes: list[str], training: dict[str, Any]
) -> None:
    """Write a checkpoint. Raises OSError, saying what is still there, where that does not work."""
    try:
        save_checkpoint(path, model, architecture=architecture, classes=classes, training=training)
    except (OSError, RuntimeError) as error:  # torch's writer has its own words for a full disk
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        left = path.with_name(LAST)
        kept = f"{left} holds the last complete one" if left.exists() else "none had been written before"
        raise OSError(
            f"the checkpoint {path} could not be written ({reason}); {kept}. Make room, or the folder writable, and "
            f"continue with --resume --out {path.parent}"
        ) from error


class Log:
    """A text file with a line per epoch and per validation, of the main process alone."""

    def __init__(self, path: Path, enabled: bool) -> None:
        self.path = path
        self.enabled = enabled

    def rewind(self, stage: str, step: int, validated: int) -> None:
        """Take out what a run that was interrupted wrote about steps and validations that are now done again."""
        if self.enabled and self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            with replacing(self.path) as partial:
                kept = [line for line in lines if not _beyond(line, stage, step, validated)]
                partial.write_text("".join(kept), encoding="utf-8")

    def write(self, stage: str, step: int, text: str) -> None:
        if self.enabled:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{stage}  step {step}  {text}\n")


def _beyond(line: str, stage: str, step: int, validated: int) -> bool:
    match = re.match(r"(\S+)  step (\d+)  (mean IoU)?.*\n", line)
    if match is None:  # cut off by the interruption
        return True
    return match[1] == stage and int(match[2]) > (validated if match[3] else step)
