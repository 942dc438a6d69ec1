"""The benchmarks of a GPU: what they count, and what they say without one."""

import pytest
import torch

from eval.bench.gpu import device, roofline


def test_bytes_are_those_of_every_tensor_once() -> None:
    """By hand, for 10 vertices and 20 pixels with 3 + 6 corners: 96 bytes a row of 21 labels, which are padded to 24, and 8
    a pair or two neighbors.

    180 pairs in 10 bags may make 10 + 2 parts of at most 64; every part and every bag begins somewhere, in 4 bytes.
    """
    assert roofline.LABELS == 21
    row, pair = 96, 8
    splat = 20 * row + 20 * 9 * pair + 12 * (4 + row) + 12 * row + 10 * (4 + row)
    blur = 6 * (10 * row + 10 * row + 10 * 8)
    update = 10 * row + 20 * row + 20 * 9 * pair + 20 * row
    assert roofline.bytes_of_an_iteration(10, 20, [3, 6]) == splat + blur + update


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.main([]) == 2
    assert (
        capsys.readouterr().err == "eval.bench.gpu.device: --device cuda: wanted cuda, and a GPU that torch can use\n"
    )


def test_the_roofline_needs_no_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """For an image of one pixel, whose lattices have 3 + 6 vertices, ten times 9 launches are all that counts."""
    monkeypatch.setattr(roofline, "SIZE", (1, 1))
    assert roofline.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[-4:]] == [
        ["(80,", "13)", "1", "9", "0", "9", "0.45", "0", "0.45", "0"],
        ["(80,", "13)", "16", "9", "0", "9", "0.03", "0", "0.03", "0"],
        ["(160,", "3)", "1", "9", "0", "9", "0.45", "0", "0.45", "0"],
        ["(160,", "3)", "16", "9", "0", "9", "0.03", "0", "0.03", "0"],
    ]


def test_floors_of_the_roofline() -> None:
    """335 GB in ten iterations take 100 ms at 3.35 TB/s, fifty times the target."""
    vertices = 21_000_000
    moved = roofline.bytes_of_an_iteration(vertices, 375 * 500, roofline.CORNERS)
    cells = roofline.cells((80.0, 13.0), 1, vertices)
    assert cells[:3] == ["(80, 13)", "1", "21,000,000"]
    assert [float(cells[5]), float(cells[7])] == pytest.approx([10 * moved / 3.35e9, 10 * moved / 4.8e9], abs=0.01)
    assert cells[6] == f"{100 * 10 * moved / 3.35e12 / 2e-3:.0f}"
