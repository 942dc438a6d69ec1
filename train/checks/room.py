"""Whether the folder of a run can be written to, and has room for its checkpoints."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from train.checks.models import Size
from train.folder import holds_run
from train.state import Run


def check_folder(run: Run, resume: bool) -> None:
    """Raise ValueError where the folder holds another run, OSError where it is a file or cannot be written to."""
    there = existing(run.out)
    if not there.is_dir():
        raise NotADirectoryError(f"{there} is a file, so {run.out} cannot be a folder; pass another one as --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"{there} cannot be written to; make it writable, or pass another folder as --out")
    holds_run(run.out, run.recipe, resume)


def check_room(run: Run, sizes: Mapping[str, Size]) -> None:
    """Raise OSError where the disk has less room than the checkpoints of the stages in `sizes` take."""
    needed = bytes_needed(run, sizes) - sum(path.stat().st_size for path in run.out.glob("*.pt"))
    free = shutil.disk_usage(existing(run.out)).free
    if needed > free:
        raise OSError(
            f"the checkpoints of this run take {needed / 2**30:.2f} GiB, and {run.out} has {free / 2**30:.2f} GiB of room; "
            "make room, pass a folder on another disk as --out, or keep fewer (--stages.NAME.keep-every)"
        )


def bytes_needed(run: Run, sizes: Mapping[str, Size]) -> int:
    """The most that the checkpoints of the stages in `sizes` take together, the one that is being written included."""
    if not sizes:
        return 0
    kept = 0
    for name, size in sizes.items():
        stage = run.recipe.stages[name]
        kept += 2 * size.model  # the last model and the best
        kept += stage.steps // stage.keep_every * size.last if stage.keep_every else 0
    return kept + 2 * max(size.last for size in sizes.values())


def existing(path: Path) -> Path:
    """`path`, or the nearest one above it that exists."""
    path = path.absolute()
    return path if path.exists() else existing(path.parent)
