import json
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crfrnn import CRFRNN
from crfrnn.presets import PUBLISHED, FixedCRF
from eval.inputs.crf_file import write_crf
from eval.scoring.counts import ImageCounts
from eval.scoring.differences import of_rows
from eval.scoring.metrics import Confusion
from eval.tuning.scored_images import ScoredImages, ScoreSource
from eval.tuning.table import main
from tests.csv_cells import cells
from tests.eval.stored_scores import write_folder


@pytest.fixture
def arguments(voc: Path, tmp_path: Path) -> Callable[..., list[str]]:
    scores = write_folder(voc, tmp_path / "scores")
    write_crf(tmp_path / "mine.json", FixedCRF(2, 5, 60, 1, 1.5, 3).build(3), {})
    base = f"--data {voc} --unaries {scores} --sample 1 --out {tmp_path / 'out'} --crf mine={tmp_path / 'mine.json'}"
    return lambda *more: [*base.split(), *more]


def test_rows_are_scored_on_what_is_left_over(
    arguments: Callable, voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(arguments("--subset", "cat", "dog", "--table", str(tmp_path / "table.csv"), "--figures", "pdf")) == 0
    content = json.loads((tmp_path / "out.json").read_text())
    rows = content["rows"]
    assert list(rows) == ["network alone", *PUBLISHED, "mine"]
    assert len(content["images"]) == 3

    wanted = {name: Confusion(("background", "cat", "dog")) for name in ("network alone", "mine", "DeepLab")}
    for scored in ScoredImages(ScoreSource(voc, tmp_path / "scores", sample=1), rest=True):
        unary = scored.unary
        logits = {
            "network alone": unary,
            "mine": FixedCRF(2, 5, 60, 1, 1.5, 3).build(3)(unary, scored.image),
            "DeepLab": FixedCRF(5, 50, 10).build(3)(unary, scored.image),
        }
        for name, found in logits.items():
            wanted[name].update(found[0].argmax(0), scored.truth)
    for name, confusion in wanted.items():
        assert rows[name]["mean_iou"] == confusion.scores().mean_iou
        assert rows[name]["subset_mean_iou"] == confusion.scores().mean_over(["cat", "dog"])
        assert rows[name]["pixel_accuracy"] == confusion.scores().pixel_accuracy
    output = capsys.readouterr().out
    first = next(line for line in output.splitlines() if line.startswith("mine"))
    header, network, *_, mine = cells(tmp_path / "table.csv")
    assert header[:3] == ["percent", "mean IoU", "mean IoU of 2"]
    assert (network[-1], mine[:3]) == ("", first.split()[:3])
    assert (tmp_path / "out.pdf").stat().st_size > 10_000
    over_network, over_best = content["differences"]
    best = max(PUBLISHED, key=lambda name: rows[name]["mean_iou"])
    assert (over_network["reference"], list(over_network["rows"])) == ("network alone", [*PUBLISHED, "mine"])
    assert (over_best["reference"], list(over_best["rows"])) == (best, ["mine"])
    for compared in (over_network, over_best):
        found = compared["rows"]["mine"]["mean IoU"]
        assert found["points"] == pytest.approx(rows["mine"]["mean_iou"] - rows[compared["reference"]]["mean_iou"])
        low, high = found["images"]
        assert f"{found['points']:+.2f} [{low:.2f}, {high:.2f}]" in output
    assert json.loads(json.dumps(of_rows(ImageCounts.read(tmp_path / "out.json"), best, rows=["mine"]).plain())) == {
        "reference": best,
        "rows": {"mine": {name: over_best["rows"]["mine"][name] for name in ("mean IoU", "within\n5 px of void")}},
    }


def test_solvers_of_one_crf(arguments: Callable, voc: Path, tmp_path: Path) -> None:
    more = "--solvers --dense-crf.theta-alpha 5 --dense-crf.theta-beta 60 --dense-crf.num-iterations 3"
    assert main(arguments(*more.split(), "--table", str(tmp_path / "table.csv"))) == 0
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert not set(rows) & set(PUBLISHED)
    fixed = FixedCRF(4, 5, 60, 3, 3, 3, "symmetric")
    settings = fixed.build(3).settings() | {"solver": "frank_wolfe", "step": "line_search"}
    layers = {"mean field": fixed.build(3), "Frank-Wolfe, l2, line search": CRFRNN.from_settings(settings)}
    for name, layer in layers.items():
        energies, shares = [], []
        for scored in ScoredImages(ScoreSource(voc, tmp_path / "scores", sample=1), rest=True):
            *_, state = layer.iterate(scored.unary, scored.image)
            *_, plain = layers["mean field"].iterate(scored.unary, scored.image)
            energies.append(float(state.free_energy().detach()) / scored.truth.numel())
            shares.append(100 * float((state.logits.argmax(1) == plain.logits.argmax(1)).double().mean()))
        assert rows[name]["free_energy"] == pytest.approx(statistics.mean(energies), rel=1e-5)
        assert rows[name]["equal_labels"] == pytest.approx(statistics.mean(shares))
    assert rows["mean field"]["equal_labels"] == 100
    header, network, mean_field, *_ = cells(tmp_path / "table.csv")
    assert header[-2:] == ["free energy per pixel", "labels of mean field"]
    assert (network[0], mean_field[-1]) == ("network alone", "100.00")


@pytest.mark.parametrize(("sample", "count"), [("1", 1), ("None", 4)])
def test_without_found_parameters_the_sample_itself_is_scored(
    voc: Path, tmp_path: Path, sample: str, count: int
) -> None:
    scores = write_folder(voc, tmp_path / "scores")
    out = tmp_path / "out"
    assert main(["--data", str(voc), "--unaries", str(scores), "--sample", sample, "--out", str(out)]) == 0
    images = json.loads((tmp_path / "out.json").read_text())["images"]
    whole = ScoredImages(ScoreSource(voc, scores, sample=None if sample == "None" else int(sample)))
    assert (len(images), images) == (count, whole.names)


@pytest.mark.parametrize(
    ("crf", "message"),
    [("no-equals", "wanted NAME=FILE"), ("DeepLab=x.json", "every name once"), ("x=nowhere.json", "nowhere.json")],
)
def test_bad_arguments(arguments: Callable, capsys: pytest.CaptureFixture, crf: str, message: str) -> None:
    assert main(arguments("--crf", crf)) == 2
    assert message in capsys.readouterr().err


def test_other_numbers_of_labels(arguments: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_crf(tmp_path / "two.json", FixedCRF().build(2), {})
    assert main(arguments("--crf", f"two={tmp_path / 'two.json'}")) == 2
    assert "over 2 labels, the data set has 3" in capsys.readouterr().err


def test_published_parameters_are_those_of_the_facts() -> None:
    assert torch.equal(PUBLISHED["CRF-RNN, initial"].build(3).bandwidths[1], torch.tensor([160.0, 3.0]))
    assert all(fixed.smoothness_weight == fixed.theta_gamma == 3 for fixed in PUBLISHED.values())
