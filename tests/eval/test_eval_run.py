import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from crfrnn import CRFRNN
from crfrnn.data import VOCSegmentation
from crfrnn.nets import model_from_checkpoint
from crfrnn.presets import FixedCRF
from eval.inputs.crf_file import write_crf
from eval.pictures.figures import Example, panel
from eval.run import main
from eval.scoring.borders import Trimap
from eval.scoring.counts import ImageCounts
from eval.scoring.evaluate import evaluate, evenly_spaced
from eval.scoring.methods import with_crf
from tests.csv_cells import cells

ROOT = Path(__file__).parents[2]


def test_checkpoint_with_a_crf(
    voc: Path, make_checkpoint: Callable, gentle_crf: CRFRNN, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = make_checkpoint(gentle_crf)
    out = tmp_path / "out"
    arguments = ["--checkpoint", str(path), "--data", str(voc), "--list", "val", "--iterations", "0", "2", "3"]
    arguments += ["--subset", "cat", "dog", "--dense-crf.theta-beta", "80", "--out", str(out)]
    assert main(arguments) == 0

    printed = capsys.readouterr().out
    assert (out / "scores.txt").read_text() in printed
    content = json.loads((out / "scores.json").read_text())
    rows = ["network", "network + dense CRF", "CRF-RNN T=0", "CRF-RNN T=2", "CRF-RNN T=3"]
    assert list(content["scores"]) == rows
    assert all(row in printed for row in rows)

    model, _ = model_from_checkpoint(path)
    assert model.crf is not None
    methods = [with_crf(model.crf, {3: rows[4]}), with_crf(FixedCRF(theta_beta=80).build(3), {10: rows[1]})]
    for row, wanted in evaluate(model, VOCSegmentation(voc, "val"), methods).items():
        found = content["scores"][row]
        assert found["mean_iou"] == wanted.mean_iou
        assert found["subset_mean_iou"] == wanted.mean_over(["cat", "dog"])
        assert found["pixel_accuracy"] == wanted.pixel_accuracy
        assert found["iou"] == wanted.iou

    (over,) = content["differences"]
    assert (over["reference"], list(over["rows"])) == ("network", rows[1:])
    for measure, key in (("mean IoU", "mean_iou"), ("mean IoU\nof 2", "subset_mean_iou")):
        points = content["scores"][rows[4]][key] - content["scores"]["network"][key]
        assert over["rows"][rows[4]][measure]["points"] == pytest.approx(points)
    counts = ImageCounts.read(out / "scores.json")
    assert (counts.images, counts.rows) == (list("abcd"), rows)
    assert over["rows"]["CRF-RNN T=0"]["mean IoU"]["images"] == [0.0, 0.0]  # it is the network
    assert content["command"] == f"python -m eval.run {' '.join(arguments)}"
    assert (content["list"], content["images"], content["images_in_list"]) == ("val", 4, 4)
    assert (content["subset"], content["dense_crf"]["theta_beta"]) == (["cat", "dog"], 80.0)
    assert content["hardware"]["processor"]
    assert content["hardware"]["threads"] == torch.get_num_threads()
    assert "commit" in content


def test_borders(voc: Path, make_checkpoint: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path, out = make_checkpoint(), tmp_path / "out"
    argv = ["--checkpoint", str(path), "--data", str(voc), "--iterations", "2", "--borders", "--out", str(out)]
    assert main([*argv, "--table", str(tmp_path / "scores.csv"), "--figures", "svg"]) == 0
    borders = json.loads((out / "scores.json").read_text())["borders"]
    model, dataset = model_from_checkpoint(path)[0], VOCSegmentation(voc, "val")
    trimap = Trimap(dataset.classes)
    with torch.no_grad():
        for i in range(len(dataset)):
            trimap.update(model(dataset[i].image[None].float())[0].argmax(0).to(torch.uint8), dataset[i].labels)
    wanted = trimap.scores()
    assert borders["half_widths"] == list(range(1, 41))
    assert borders["bands"]["network"]["mean_iou"] == [wanted[width].mean_iou for width in range(1, 41)]
    assert borders["boundary_iou"]["network"].keys() == set(dataset.classes)
    assert f"{wanted[5].mean_iou:.2f}" in capsys.readouterr().out
    rows = ["network", "network + dense CRF", "network + untrained CRF-RNN T=2"]
    assert [row[0] for row in cells(tmp_path / "scores.csv")] == ["percent", *rows]
    assert cells(tmp_path / "scores-classes.csv")[0] == ["IoU, percent", *rows]
    header, network, *_ = cells(tmp_path / "scores-borders.csv")
    assert dict(zip(header, network, strict=True))["5 px"] == f"{wanted[5].mean_iou:.2f}"
    assert (out / "trimap.svg").stat().st_size > 10_000


def test_pictures_show_each_method_at_its_last_iteration(
    voc: Path, make_checkpoint: Callable, gentle_crf: CRFRNN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Example] = []

    def spy(examples: list[Example], classes: list[str]) -> Figure:
        seen.extend(examples)
        return panel(examples, classes)

    monkeypatch.setattr("eval.pictures.figures.panel", spy)
    arguments = ["--checkpoint", str(make_checkpoint(gentle_crf)), "--data", str(voc), "--iterations", "0", "3"]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--pictures", "2"]) == 0
    assert [example.name for example in seen] == ["a", "c"]
    assert list(seen[0].labels) == ["truth", "network", "network + dense CRF", "CRF-RNN T=3"]
    with Image.open(tmp_path / "out" / "pictures.png") as picture:
        assert picture.width == pytest.approx(5 * 2.6 * 150, abs=1)


def test_checkpoint_without_a_crf_gets_an_untrained_one(
    voc: Path, make_checkpoint: Callable, capsys: pytest.CaptureFixture
) -> None:
    assert main(["--checkpoint", str(make_checkpoint()), "--data", str(voc), "--iterations", "1"]) == 0
    printed = capsys.readouterr().out
    assert "network + untrained CRF-RNN T=1" in printed
    assert "\nCRF-RNN" not in printed


def test_untrained_crf_on_request(
    voc: Path, make_checkpoint: Callable, gentle_crf: CRFRNN, capsys: pytest.CaptureFixture
) -> None:
    path = str(make_checkpoint(gentle_crf))
    assert main(["--checkpoint", path, "--data", str(voc), "--iterations", "1", "--crf-untrained"]) == 0
    printed = capsys.readouterr().out
    assert "\nnetwork + untrained CRF-RNN T=1 " in printed
    assert "\nCRF-RNN T=1 " in printed


@pytest.mark.parametrize(
    ("arguments", "images"), [(["--every", "2"], 2), (["--limit", "3"], 3), (["--every", "3", "--limit", "1"], 1)]
)
def test_a_quick_look(
    voc: Path, make_checkpoint: Callable, capsys: pytest.CaptureFixture, arguments: list[str], images: int
) -> None:
    assert main(["--checkpoint", str(make_checkpoint()), "--data", str(voc), "--iterations", "0", *arguments]) == 0
    assert f"on {images} of the 4 images in val" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--subset", "cat", "zebra"], "no class 'zebra'; the classes are background, cat, dog"),
        (["--list", "test"], "there is no list test"),
        (["--iterations", "-1"], "--iterations is -1"),
        (["--iterations"], "--iterations has no value"),
        (["--every", "0"], "--every is 0"),
        (["--limit", "0"], "--limit is 0"),
        (["--pictures", "2"], "--pictures needs --out"),
        (["--dense-crf.theta-alpha", "0"], "--dense-crf.theta-alpha is 0.0; wanted a number above 0"),
        (["--dense-crf.theta-beta", "inf"], "--dense-crf.theta-beta is inf"),
        (["--dense-crf.smoothness-weight", "nan"], "--dense-crf.smoothness-weight is nan"),
        (["--dense-crf.num-iterations", "-1"], "--dense-crf.num-iterations is -1"),
        (["--out", __file__], "--out is "),
        (["--crf", "a.json", "a.json"], "--crf is a.json a.json; wanted different files"),
        (["--out", f"{__file__}/below"], "--out is "),
        (["--data", "nowhere"], "nowhere"),
        (["--checkpoint", "nowhere.pt"], "nowhere.pt"),
    ],
)
def test_errors_are_one_line(
    voc: Path, make_checkpoint: Callable, capsys: pytest.CaptureFixture, arguments: list[str], message: str
) -> None:
    assert main(["--checkpoint", str(make_checkpoint()), "--data", str(voc), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.startswith("eval.run: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("classes", "message"),
    [(("background", "cat"), "has 2 labels"), (("background", "dog", "cat"), "label 1 is 'dog'")],
)
def test_checkpoint_of_other_labels(
    voc: Path, make_checkpoint: Callable, capsys: pytest.CaptureFixture, classes: tuple[str, ...], message: str
) -> None:
    assert main(["--checkpoint", str(make_checkpoint(classes=classes)), "--data", str(voc)]) == 2
    assert message in capsys.readouterr().err


def test_old_results_are_not_overwritten(
    voc: Path, make_checkpoint: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "scores.json").write_text("precious")
    assert main(["--checkpoint", str(make_checkpoint()), "--data", str(voc), "--out", str(tmp_path)]) == 2
    assert "pass another folder" in capsys.readouterr().err
    assert (tmp_path / "scores.json").read_text() == "precious"


def test_damaged_image_is_named(voc: Path, make_checkpoint: Callable, capsys: pytest.CaptureFixture) -> None:
    shutil.copy(voc / "classes.txt", voc / "JPEGImages" / "c.jpg")
    assert main(["--checkpoint", str(make_checkpoint()), "--data", str(voc), "--iterations", "0"]) == 2
    assert "c.jpg" in capsys.readouterr().err.splitlines()[-1]


def test_command_line_exit_code() -> None:
    command = [sys.executable, "-m", "eval.run", "--checkpoint", "nowhere.pt", "--data", "nowhere"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("eval.run: there is no checkpoint at 'nowhere.pt'")
    assert "Traceback" not in result.stderr


def test_evenly_spaced() -> None:
    names = list("abcdefgh")
    assert evenly_spaced(names, 4) == ["a", "c", "e", "g"]
    assert evenly_spaced(names, 3) == ["a", "c", "f"]
    assert evenly_spaced(names, 20) == names
    assert evenly_spaced(names, 0) == []


def test_searched_parameters_are_a_row(voc: Path, make_checkpoint: Callable, tmp_path: Path) -> None:
    write_crf(tmp_path / "best.json", FixedCRF(theta_beta=80, num_iterations=2).build(3), {})
    arguments = ["--checkpoint", str(make_checkpoint()), "--data", str(voc), "--iterations", "0"]
    arguments += ["--dense-crf.theta-beta", "80", "--dense-crf.num-iterations", "2"]
    assert main([*arguments, "--crf", str(tmp_path / "best.json"), "--out", str(tmp_path / "out")]) == 0
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())["scores"]
    assert scores[f"network + {tmp_path / 'best.json'}"] == scores["network + dense CRF"]
    assert scores["network"] != scores["network + dense CRF"]
