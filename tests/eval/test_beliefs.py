"""The command that pictures mean field, on a tiny photograph."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from crfrnn import CRFRNN
from eval.beliefs import main
from tests.csv_cells import cells

CLASSES = ["background", "cat", "dog"]


@pytest.fixture
def photo(voc: Path) -> Path:
    return voc / "JPEGImages" / "b.jpg"


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Scores of three labels for the photographs a and b, the second quite sure of dog."""
    logits = np.zeros((2, 3, 4, 3), np.float32)
    logits[1, ..., 2] = 5
    np.savez(tmp_path / "scores.npz", names=["a", "b"], logits=logits)
    return tmp_path / "scores.npz"


def test_stored_scores_become_pictures_and_a_log(
    photo: Path, scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out, truth = tmp_path / "out", photo.parents[1] / "SegmentationClass" / "b.png"
    arguments = f"{photo} --label dog --scores {scores} --truth {truth} --iterations 2 --out {out}"
    more = ["--tensorboard", str(out / "log"), "--table", str(tmp_path / "curves.csv"), "--classes", *CLASSES]
    assert main([*arguments.split(), *more]) == 0
    assert {path.name for path in out.iterdir()} == {"b_dog.png", "b_dog.gif", "log"}
    with Image.open(out / "b_dog.gif") as moving:
        assert moving.n_frames == 3
        assert moving.info["loop"] == 0
    rows = capsys.readouterr().out.splitlines()[-3:]
    assert [row.split()[0] for row in rows] == ["0", "1", "2"]
    header, *numbers = cells(tmp_path / "curves.csv")
    assert header == ["iteration", "largest change", "mean change", "free energy per pixel", "mean IoU, percent"]
    assert [["-" if cell == "" else cell for cell in row] for row in numbers] == [row.split() for row in rows]
    dog = np.asarray(Image.open(truth)) == 2
    void = np.asarray(Image.open(truth)) == 255
    # dog everywhere: background and cat have IoU 0
    assert float(rows[0].split()[-1]) == pytest.approx(100 * dog.sum() / (~void).sum() / 3, rel=1e-4)
    log = EventAccumulator(str(out / "log"), size_guidance={"images": 0}).Reload()
    assert [event.step for event in log.Images("beliefs of b/dog")] == [0, 1, 2]
    assert [event.step for event in log.Scalars("mean field of b/mean IoU")] == [0, 1, 2]


def test_a_checkpoint_without_truth(
    photo: Path, make_checkpoint: Callable, gentle_crf: CRFRNN, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    checkpoint = make_checkpoint(gentle_crf)
    arguments = f"{photo} --label cat --checkpoint {checkpoint} --iterations 1 --out {tmp_path / 'out'}"
    assert main([*arguments.split(), "--animation", "webp"]) == 0
    with Image.open(tmp_path / "out" / "b_cat.webp") as moving:
        assert moving.n_frames == 2
    assert "mean IoU" not in capsys.readouterr().out


@pytest.mark.parametrize("chosen", [{"solver": "frank_wolfe", "step": "line_search"}, {"damping": "auto"}])
def test_beliefs_of_another_solver(
    chosen: dict, photo: Path, make_checkpoint: Callable, gentle_crf: CRFRNN, tmp_path: Path
) -> None:
    crf = CRFRNN.from_settings(gentle_crf.settings() | chosen)
    arguments = f"{photo} --label cat --checkpoint {make_checkpoint(crf)} --iterations 3 --out {tmp_path / 'out'}"
    assert main([*arguments.split(), "--table", str(tmp_path / "curves.csv")]) == 0
    header, *rows = cells(tmp_path / "curves.csv")
    energies = [float(row[header.index("free energy per pixel")]) for row in rows]
    assert len(energies) == 4
    assert energies[-1] < energies[0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--label dog", "wanted either --checkpoint or --scores"),
        ("--label dog --scores {scores}", "has 3 labels, and there are 21 names"),
        ("--label cow --scores {scores} --classes background cat dog", "there is no class 'cow'"),
        ("--label dog --scores {scores} --truth {other}", r"is 33 x 20, the photograph 31 x 21"),
    ],
)
def test_what_cannot_be_done(
    photo: Path, scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture, more: str, message: str
) -> None:
    other = photo.parents[1] / "SegmentationClass" / "a.png"
    arguments = [str(photo), *more.format(scores=scores, other=other).split(), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
