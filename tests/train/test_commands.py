"""Commands answer --help and mistyped options at once: nothing large is imported before the options are read."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ("run", "runs", "targets", "weak_table")
LARGE = {"torch", "numpy", "matplotlib", "tensorboard"}
ASK = f"""
import sys
from importlib import import_module

command = import_module("train." + sys.argv[1])
for argv in (["--help"], ["--mistyped"]):
    try:
        command.main(argv)
    except SystemExit as end:
        print("ended with", end.code)
print("imported:", *({LARGE!r} & set(sys.modules)))
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_options_are_read_before_anything_large_is_imported(command: str) -> None:
    root = Path(__file__).parents[2]
    asked = subprocess.run([sys.executable, "-c", ASK, command], capture_output=True, text=True, cwd=root, check=True)
    said = asked.stdout.splitlines()
    assert [line for line in said if line.startswith("ended with")] == ["ended with 0", "ended with 2"]
    assert said[-1] == "imported:"


def test_the_commands_are_all_there() -> None:
    folder = Path(__file__).parents[2] / "train"
    assert tuple(sorted(path.stem for path in folder.glob("*.py") if "def main(" in path.read_text())) == COMMANDS
