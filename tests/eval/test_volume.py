"""The command that refines a volume, on a small one with a bright ball in it."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from eval.volume import coarse_logits, main, read_scan
from tests.csv_cells import cells


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """[x, y, z] = 14 x 12 x 8 voxels of 1 x 1 x 2 mm; the ball has a radius of 4 mm."""
    x, y, z = np.meshgrid(np.arange(14) - 7, np.arange(12) - 6, np.arange(8) - 4, indexing="ij")
    ball = x**2 + y**2 + (2 * z) ** 2 <= 16
    noise = np.random.default_rng(0).normal(0, 3, ball.shape)
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    nibabel.save(nibabel.Nifti1Image((200 * ball + 20 + noise).astype(np.float32), affine), tmp_path / "ball.nii.gz")
    return tmp_path / "ball.nii.gz"


def test_the_crf_finds_the_ball_again(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, table = tmp_path / "out", tmp_path / "shares.csv"
    assert main([str(scan), "--thresholds", "120", "--stride", "2", "--out", str(out), "--table", str(table)]) == 0
    with Image.open(out / "ball.png") as picture:
        assert picture.width > 300
    header, coarse, after = cells(table)
    assert header == ["labels", "other than by thresholds, percent"]
    assert float(after[1]) < 0.3 * float(coarse[1])
    assert str(out / "ball.png") in capsys.readouterr().out


def test_axes_of_the_file_in_reverse(scan: Path) -> None:
    values, spacing = read_scan(scan)
    assert values.shape == (8, 12, 14)
    assert spacing == (2.0, 1.0, 1.0)
    assert values[4, 6, 7] > 150
    assert values[4, 6, 0] < 50


def test_coarse_labels_know_shares_of_blocks() -> None:
    labels = torch.zeros(4, 4, 4, dtype=torch.long)
    labels[2:] = 1
    logits = coarse_logits(labels, 2, 2, 0.0, 0)
    assert torch.equal(logits.argmax(0), labels)
    half = coarse_logits(labels, 2, 4, 0.0, 0)
    torch.testing.assert_close(half, torch.full_like(half, 0.5).log())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{scan} --thresholds 5 3", r"--thresholds are (5.0, 3.0); wanted one or more, in rising order"),
        ("{scan} --thresholds 5 --stride 0", "--stride is 0"),
        ("{scan} --thresholds 5 --noise -1", "--noise is -1"),
        ("{scan}.gz --thresholds 5", "there is no file"),
        ("{folder}/text.nii --thresholds 5", "is no volume that nibabel reads"),
        ("{folder}/flat.nii --thresholds 5", "has shape [3, 4]; wanted three axes or more"),
    ],
)
def test_slips(arguments: str, message: str, scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (scan.parent / "text.nii").write_text("not a volume")
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4), np.float32), np.eye(4)), scan.parent / "flat.nii")
    assert main(arguments.format(scan=scan, folder=scan.parent).split()) == 2
    assert message in capsys.readouterr().err
