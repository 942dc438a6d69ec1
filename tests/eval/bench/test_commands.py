"""The benchmark commands answer --help and mistyped options before they import anything large."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LARGE = {"torch", "matplotlib", "numpy", "pydensecrf"}


@pytest.mark.parametrize(("option", "code"), [("--help", 0), ("--mistyped", 2)])
@pytest.mark.parametrize(
    "command", ["speed", "whole_set", "parity", "accuracy", "gpu.device", "gpu.roofline", "gpu.lease"]
)
def test_options_are_parsed_before_large_imports(command: str, option: str, code: int) -> None:
    program = f"""
import sys
from eval.bench.{command} import main
try:
    main([{option!r}])
except SystemExit as end:
    assert end.code == {code}, end.code
    print("imported:", *({LARGE!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported:"
    assert f"python -m eval.bench.{command}" in done.stdout + done.stderr
