"""Where a number comes from: the command, the code and the machine that made it, written to JSON beside the number."""

import hashlib
import json
import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from crfrnn._files import replacing


def origin(module: str, argv: Sequence[str]) -> dict[str, Any]:
    """Command, commit, torch version and hardware; absolute paths in the command are shortened to file names."""
    plain = []
    for argument in argv:
        name, equals, value = argument.rpartition("=")
        plain.append(f"{name}{equals}{Path(value).name}" if Path(value).is_absolute() else argument)
    return {
        "command": shlex.join(["python", "-m", module, *plain]),
        "commit": commit(),
        "torch": torch.__version__,
        "hardware": hardware(torch.device("cpu")),
    }


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write `facts` to `path`, completely or not at all, and make its folder where that is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def commit() -> str | None:
    """The git commit of this checkout, followed by "-dirty" where files differ from it; None outside of a checkout."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        result = subprocess.run(describe, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def fingerprint(path: Path) -> str:
    """A hash that identifies a file by its content, and a folder by the names, sizes and times of its files."""
    digest = hashlib.sha256()
    if not path.is_dir():
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()[:16]
    files = [(file.relative_to(path).as_posix(), file.stat()) for file in sorted(path.rglob("*")) if file.is_file()]
    listing = [(name, about.st_size, about.st_mtime_ns) for name, about in files]
    digest.update(repr(listing).encode())
    return digest.hexdigest()[:16]


def hardware(device: torch.device) -> dict[str, str | int]:
    """The processor, the number of threads torch uses on it, and the GPU where `device` is one."""
    facts: dict[str, str | int] = {"processor": _processor(), "threads": torch.get_num_threads()}
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts


def _processor() -> str:
    # platform.processor() is empty, or no more than the architecture, on Linux.
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
