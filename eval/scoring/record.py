"""What a benchmark writes down beside its figures, without the paths of the machine it ran on."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from crfrnn._files import replacing
from eval.scoring.provenance import commit, hardware


def origin(module: str, argv: Sequence[str]) -> dict[str, Any]:
    """Command, commit, torch and hardware; of files named in the command by their absolute paths only the names."""
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
    """Write `facts` to `path`, whole or not at all; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n", encoding="utf-8")
