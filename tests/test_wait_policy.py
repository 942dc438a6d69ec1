"""How OpenMP waits in the commands."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("package", ["train", "eval"])
def test_threads_of_torch_sleep_between_operations(package: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", f"import {package}, torch"],
        env={**{n: v for n, v in os.environ.items() if n != "OMP_WAIT_POLICY"}, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "GOMP_SPINCOUNT = '0'" in said
