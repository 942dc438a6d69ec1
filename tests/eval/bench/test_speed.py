"""The benchmark against the installed pydensecrf2: what it compares and writes down."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from pydensecrf import densecrf

from crfrnn import native
from eval.bench.growth_figure import growth_figure
from eval.bench.memory import measure_memory
from eval.bench.peers import MODULES, function_for
from eval.bench.sections import FULL, Case, Inputs, cases, key, training_step
from eval.bench.speed import main
from eval.bench.tables import OURS, PLAIN, PYDENSECRF, SECTIONS, SEEN, SIMPLECRF, section_table
from tests.csv_cells import cells

COMMON = (319, 500)
original = densecrf.DenseCRF2D


class Changed:
    """pydensecrf with the sign of one compat turned around; its own class cannot be derived from."""

    def __init__(self, width: int, height: int, labels: int) -> None:
        self.crf = original(width, height, labels)

    def __getattr__(self, name: str) -> object:
        return getattr(self.crf, name)

    def addPairwiseGaussian(self, sxy: float, compat: float, **options: object) -> None:
        self.crf.addPairwiseGaussian(sxy=sxy, compat=-compat, **options)


@pytest.fixture(autouse=True)
def _without_simplecrf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODULES, SIMPLECRF, "no_such_module_as_this")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)).save(path)
    return path


def test_quick_run_writes_what_it_measured(tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results" / "bench.json"
    sections = [section for section in SECTIONS if section != "memory"]
    arguments = ["--quick", "--repeats", "1", "--threads", "1", "--image", str(photo), "--out", str(out)]
    assert main([*arguments, "--table", str(tmp_path / "speed.csv"), "--only", *sections]) == 0
    assert cells(tmp_path / "speed.csv")[0][:3] == ["(theta_alpha, theta_beta)", "system", "seconds"]
    assert cells(tmp_path / "speed-labels.csv")[0][:3] == [
        "(theta_alpha, theta_beta)", "labels", "crfrnn, 1 thread seconds"
    ]  # fmt: skip

    text = out.read_text()
    assert str(tmp_path) not in text
    found = json.loads(text)
    assert list(found["sections"]) == sections
    assert found["image"] == "photo.png"
    assert SIMPLECRF in found["left out"]
    ours = key(OURS, 1)
    assert [record["thetas"] for record in found["sections"]["pairs"]] == [[80, 13], [160, 3]]
    for record in found["sections"]["pairs"]:
        assert record["size"] == [32, 24]
        assert set(record["seconds"]) == {ours, key(PLAIN, 1), key(SEEN, 1), PYDENSECRF}
        assert record["equality"][PYDENSECRF]["equal labels"] >= 0.999
        assert record["equality"][PYDENSECRF]["largest difference of beliefs"] < 1e-3
    varied = {"pixels": [192, 192, 768, 768], "labels": [2, 5], "iterations": [1, 3], "batch": [1, 2]}
    for section, values in varied.items():
        records = found["sections"][section]
        of = [record["size"][0] * record["size"][1] if section == "pixels" else record[section] for record in records]
        assert sorted(of) == values
        assert all(set(record["seconds"]) == {ours, key(PLAIN, 1), PYDENSECRF} for record in records)
    (training,) = found["sections"]["training"]
    assert training["iterations"] == 5
    assert training["equality"][key(PLAIN, 1)]["relative difference of gradients"] <= 1e-3
    assert set(training["forward seconds"]) == set(training["seconds"]) == {ours, key(PLAIN, 1)}

    with Image.open(out.with_suffix(".png")) as picture:
        assert picture.format == "PNG"
    printed = capsys.readouterr().out
    assert f"{SIMPLECRF}: left out" in printed
    assert "no_such_module_as_this" in printed


def test_nothing_is_timed_or_written_where_a_peer_disagrees(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(densecrf, "DenseCRF2D", Changed)
    out = tmp_path / "bench.json"
    assert main(["--quick", "--threads", "1", "--only", "iterations", "--out", str(out)]) == 2
    assert not out.exists()
    assert "crfrnn, 1 thread and pydensecrf2 disagree" in capsys.readouterr().err


def test_cases_cover_what_is_promised() -> None:
    of = {section: cases(section, FULL, COMMON, 21, 2) for section in SECTIONS}
    assert {(80.0, 13.0), (160.0, 3.0)} == {case.thetas for case in of["pairs"]}
    assert all({(OURS, 1), (OURS, 2), (PYDENSECRF, 1)} <= set(case.systems) for case in of["pairs"])
    assert {(120, 160), (2160, 3840)} <= {case.size for case in of["pixels"]}
    assert (of["labels"][0].labels, of["labels"][-1].labels) == (2, 150)
    # 3840 x 2160 is 52 times the common task: only our own code is run on that.
    assert all(case.systems == ((OURS, 2),) for case in of["pixels"] + of["memory"] if case.size == (2160, 3840))
    assert [case.systems for case in of["training"]] == [((OURS, 2), (PLAIN, 2)), ((OURS, 1), (PLAIN, 1))]


def test_plain_torch_runs_without_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Inputs(None, None).workload(Case("", (80.0, 13.0), (6, 7), 3, 1, 2, ()))
    assert work.unary.shape == (2, 3, 6, 7)
    assert torch.equal(work.image[1].roll(-3, -1), work.image[0])
    seen = []
    forward = torch.nn.Module.__call__
    monkeypatch.setattr(
        torch.nn.Module, "__call__", lambda *a: (seen.append(native.library(torch.float32) is None), forward(*a))[1]
    )
    function_for(PLAIN, work, 1)()
    function_for(OURS, work, 1)()
    assert seen[0]
    assert seen[-1] == (native.library(torch.float32) is None)


def test_training_step_gives_the_gradients_of_one_call() -> None:
    work = Inputs(None, None).workload(Case("", (80.0, 13.0), (6, 7), 3, 2, 1, ()))
    step = training_step(work, 1, plain=False, backward=True)
    first, second = [gradient.clone() for gradient in step()], step()
    assert [gradient.shape for gradient in first] == [work.unary.shape, (2,), (3, 3)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert training_step(work, 1, plain=False, backward=False)() == []


def test_memory_holds_at_least_input_and_result() -> None:
    case = Case("memory", (80.0, 13.0), (400, 500), 21, 1, 1, ((OURS, 1),))
    found = measure_memory(case, Inputs(None, None))
    floats = 400 * 500 * (21 + 3 + 21)
    assert 4 * floats < found["peak bytes"][key(OURS, 1)] < 40 * floats


def test_memory_of_a_process_that_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(ChildProcessError, match="ended with 1: no message: the system may have stopped it"):
        measure_memory(Case("memory", (80.0, 13.0), (4, 5), 2, 1, 1, ((OURS, 1),)), Inputs(None, None))


def records() -> list[dict]:
    """Seconds 2 and 9 for 100 and 400 pixels; the peer was left out of the larger one."""
    common = {"thetas": [80.0, 13.0], "labels": 21, "iterations": 10, "batch": 1, "equality": {}}
    return [
        {**common, "size": [10, 10], "seconds": {"crfrnn, 2 threads": 2.0, PYDENSECRF: 5.0}},
        {**common, "size": [20, 20], "seconds": {"crfrnn, 2 threads": 9.0}},
    ]


def test_table_of_growth() -> None:
    *_, small, large = str(section_table("pixels", records())).splitlines()
    assert small.split() == ["(80,", "13)", "10", "x", "10", "2.000", "5.000", "2e+04", "2.50"]
    assert large.split() == ["(80,", "13)", "20", "x", "20", "9.000", "-", "2.25e+04", "-"]


def test_figure_of_growth() -> None:
    figure = growth_figure({"pairs": [], "pixels": records()})
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert lines["crfrnn, 2 threads"] == [[100, 2], [400, 9]]
    assert lines[PYDENSECRF] == [[100, 5]]
    assert lines["linear"] == [[100, 2.25], [400, 9]]
    assert growth_figure({"pairs": []}) is None
