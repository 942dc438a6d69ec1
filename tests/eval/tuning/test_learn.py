import json
from pathlib import Path

import numpy as np
import pytest
import torch

from crfrnn.data import VOCSegmentation, make_toy
from eval.inputs.crf_file import read_crf
from eval.tuning.learn import main
from tests.csv_cells import cells


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return make_toy(tmp_path / "toy", num_train=6, num_val=2, size=(48, 56))


@pytest.fixture
def scores(toy: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "scores"
    folder.mkdir()
    random = np.random.default_rng(0)
    dataset = VOCSegmentation(toy, "train")
    for name in dataset.names:
        np.save(folder / f"{name}.npy", random.normal(size=(dataset.num_labels, 7, 8)).astype(np.float32))
    return folder


def test_learns_and_writes(toy: Path, scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    text = f"--data {toy} --list train --unaries {scores} --sample 3 --steps 4 --kernel-weights diagonal"
    text += " --bandwidths learned --blur learned --start.num-iterations 2"
    argv = [*text.split(), "--out", str(tmp_path / "out")]
    assert main([*argv, "--table", str(tmp_path / "table.csv")]) == 0
    printed = capsys.readouterr().out
    content = json.loads((tmp_path / "out" / "crf.json").read_text())
    crf = read_crf(tmp_path / "out" / "crf.json")
    assert crf.cell.kernel_weights.shape == (2, crf.num_labels)
    assert not torch.equal(crf.cell.kernel_weights[0], torch.full((crf.num_labels,), 3.0))
    assert f"{float(crf.cell.kernel_weights[1].mean()):.3g}, {float(crf.bandwidths[1][0]):.3g}" in printed
    assert crf.side_weights is not None
    assert f"; blur {' '.join(f'{float(side):.3g}' for side in crf.side_weights[1])}" in printed
    assert all((sides != 0.5).all() for sides in crf.side_weights)
    assert (len(content["images"]), len(content["losses"]), content["learning"]["steps"]) == (3, 4, 4)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["crf.json"]
    _, smoothness, _ = cells(tmp_path / "table.csv")
    assert smoothness[:2] == ["smoothness", "3, 3; blur 0.5 0.5 0.5"]

    assert main(argv) == 2
    assert "pass another folder" in capsys.readouterr().err
