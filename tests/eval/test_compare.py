"""Comparison pages, made from tiny models and stored scores."""

import base64
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crfrnn import CRFRNN
from eval.compare import main
from eval.scoring.counts import ImageCounts


class Page(HTMLParser):
    """The pictures of a page and whatever it would load from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[Image.Image] = []
        self.elsewhere: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "srcset") and value is not None:
                if not value.startswith("data:image/webp;base64,"):
                    self.elsewhere.append(value)
                else:
                    self.pictures.append(Image.open(io.BytesIO(base64.b64decode(value.partition(",")[2]))))


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    logits = np.random.default_rng(3).normal(size=(4, 5, 6, 3)).astype(np.float32)
    np.savez(tmp_path / "scores.npz", names=list("abcd"), logits=logits)
    return tmp_path / "scores.npz"


def test_a_checkpoint_beside_stored_scores(
    voc: Path, scores: Path, make_checkpoint: Callable, gentle_crf: CRFRNN, tmp_path: Path
) -> None:
    checkpoint, out = make_checkpoint(gentle_crf), tmp_path / "out"
    arguments = f"--data {voc} --out {out} --checkpoints net={checkpoint} --scores other={scores} --count 1"
    assert main([*arguments.split(), "--table", str(tmp_path / "compare.tex"), "--figures", "pdf"]) == 0
    assert (tmp_path / "compare.tex").read_text().startswith("\\begin{tabular}{lrrrrr}\n\\toprule\n")
    assert {path.name for path in out.iterdir()} == {
        "index.html", "compare.json", "compare-counts.npz", "best.pdf", "median.pdf", "worst.pdf"
    }  # fmt: skip
    facts = json.loads((out / "compare.json").read_text())
    columns = [
        "net: network alone", "net: network + dense CRF", "net: CRF-RNN", "other: network alone",
        "other: network + dense CRF",
    ]  # fmt: skip
    assert list(facts["scores"]) == columns
    assert facts["gain"] == "other: network + dense CRF less net: network alone"
    assert str(tmp_path) not in json.dumps(facts)
    assert len(facts["images"]) == 4
    (over,) = facts["differences"]
    assert (over["reference"], list(over["rows"])) == (columns[0], columns[1:])
    points = facts["scores"][columns[2]]["mean_iou"] - facts["scores"][columns[0]]["mean_iou"]
    assert over["rows"][columns[2]]["mean IoU"]["points"] == pytest.approx(points)
    assert ImageCounts.read(out / "compare.json").rows == columns
    gains = [image["gain"] for image in facts["images"].values()]
    assert gains == sorted(gains, reverse=True)
    text = (out / "index.html").read_text()
    page = Page(text)
    assert page.elsewhere == []
    assert "@import" not in text
    assert re.search(r"url\(", text) is None
    assert len(page.pictures) == 3 * (5 + 2) * 2  # images, columns beside input and truth, each with its close-up
    assert str(tmp_path) not in text
    order = list(facts["images"])
    low, high = over["rows"][columns[2]]["mean IoU"]["images"]
    assert f"<td>{points:+.2f} [{low:.2f}, {high:.2f}]</td>" in text
    assert re.findall(r"<h3>(\w), gain", text) == [order[0], order[1], order[3]]


def test_two_columns_of_all_images(voc: Path, scores: Path, tmp_path: Path) -> None:
    (voc / "classes.txt").write_text("background\n<b>cat</b>\ndog")
    arguments = ["--data", str(voc), "--out", str(tmp_path / "out"), "--scores", str(scores)]
    assert main([*arguments, "--columns", "network + dense CRF", "network alone"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "index.html",
        "compare.json",
        "compare-counts.npz",
        "all.png",
    }
    text = (tmp_path / "out" / "index.html").read_text()
    assert len(Page(text).pictures) == 4 * 4 * 2
    assert "<b>cat" not in text  # names are text, whatever is in them
    assert "network alone less network + dense CRF" in (tmp_path / "out" / "compare.json").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("", "there is nothing to compare"),
        ("--scores {scores} {scores}", "wanted different names"),
        (
            "--scores {scores} --columns best",
            "there is no column 'best'; the columns are 'network alone', 'network + dense CRF'",
        ),
        ("--scores {scores} --before best", "there is no column 'best'"),
        ("--scores {scores} --count 0", "--count is 0; wanted a whole number of at least 1"),
    ],
)
def test_what_cannot_be_compared(
    voc: Path, scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture, more: str, message: str
) -> None:
    assert main(["--data", str(voc), "--out", str(tmp_path / "out"), *more.format(scores=scores).split()]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
