"""The measurement of masks: figures by hand without a CRF, and the command as a whole."""

import json
from pathlib import Path

import pytest
import torch

from crfrnn.data import Sample
from eval.tuning.masks import TRIED, coarse, figures, main
from tests.csv_cells import cells
from tests.eval.stored_scores import write_archive


def test_a_mask_at_a_stride_by_hand() -> None:
    """Blocks of 0, 1/4 and 1, then halfway between their middles."""
    truth = torch.zeros(8, 24, dtype=torch.bool)
    truth[:, 16:] = True
    truth[:4, 8:12] = True
    row = coarse(truth, 8)[0]
    torch.testing.assert_close(row[[0, 3, 23]], torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(row[12], torch.tensor(0.25 + 0.75 * 0.5 / 8))


def test_figures_without_a_crf() -> None:
    """Object in the right half of 16 x 32 pixels, one column of it void; scores are wrong in half of it.

    At stride 8 the mask is exact. At stride 16 the block of the object has 15/16, since void is no object; halfway between
    0 and that lies beyond the first of its 15 known columns.
    """
    labels = torch.zeros(16, 32, dtype=torch.uint8)
    labels[:, 16:] = 1
    labels[:, 31] = 255
    scores = torch.zeros(1, 2, 16, 32)
    scores[0, 1, :8, 16:] = 1.0
    scores[0, 0] = 0.5
    sample = Sample(torch.zeros(3, 16, 32, dtype=torch.uint8), labels, "a")
    found = figures([sample], [scores], None)
    background, thing = 256 / (256 + 120), 0.5
    assert found == pytest.approx([100, 100, 100 * 14 / 15, 100 * 14 / 15, 50 * (background + thing)])


def test_the_command(voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = write_archive(voc, tmp_path / "scores.npz")
    out = tmp_path / "masks.json"
    more = ["--out", str(out), "--table", str(tmp_path / "masks.csv")]
    assert main(["--data", str(voc), "--unaries", str(scores), "--sample", "2", *more]) == 0
    assert [row[0] for row in cells(tmp_path / "masks.csv")] == ["IoU, percent", "none", *map(str, TRIED)]
    rows = json.loads(out.read_text())["rows"]
    assert list(rows) == ["none", *map(str, TRIED)]
    assert all(0 <= value <= 100 for row in rows.values() for value in row)
    assert "stride 16" in capsys.readouterr().out
