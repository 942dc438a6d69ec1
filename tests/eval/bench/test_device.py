"""The benchmark on a GPU: what it counts, and what it says without one."""

import pytest
import torch

from eval.bench.device import LABELS, bytes_of_an_iteration, main


def test_bytes_are_those_of_every_tensor_once() -> None:
    """By hand, for 10 vertices and 4 pixels with 3 + 6 corners: 84 bytes a row of 21 labels."""
    assert LABELS == 21
    row, pair = 84, 8
    splat = 4 * row + 4 * 9 * pair + 10 * row
    blur = 6 * (10 * row + 10 * row + 10 * 8)
    matrices = 10 * row + 10 * row
    update = 10 * row + 4 * row + 4 * 9 * pair + 4 * row
    assert bytes_of_an_iteration(10, 4, [3, 6]) == splat + blur + matrices + update


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([]) == 2
    assert capsys.readouterr().err == "eval.bench.device: --device cuda: wanted cuda, and a GPU that torch can use\n"
