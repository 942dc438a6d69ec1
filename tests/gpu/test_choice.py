"""Which tensors the Triton kernels compute with."""

import subprocess
import sys

import pytest
import torch

from crfrnn import gpu


def test_an_unknown_choice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRFRNN_GPU", "cuda")
    with pytest.raises(ValueError, match=r"CRFRNN_GPU is 'cuda'; wanted one of triton, graph, torch"):
        gpu.runs(torch.zeros(1))


def test_they_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRFRNN_GPU", "torch")
    assert not gpu.runs(torch.zeros(1))


def test_nothing_of_triton_is_imported_for_a_cpu() -> None:
    code = (
        "import sys, torch, crfrnn; crfrnn.CRFRNN(2)(torch.zeros(1, 2, 4, 4), torch.ones(1, 3, 4, 4)); "
        "print('triton' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PATH": "", "CRFRNN_NATIVE": "0"}
    )
    assert found.stdout.strip() == "False"
