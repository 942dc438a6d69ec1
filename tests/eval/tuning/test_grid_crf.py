import itertools
import json
from pathlib import Path

import pytest
import torch

from crfrnn.presets import FixedCRF, GridCRF
from eval.scoring.metrics import Confusion
from eval.tuning.grid_crf import DENSE, GRID, UNARY, Noisy, main
from eval.tuning.scored_images import ScoredImages, ScoreSource
from tests.csv_cells import cells
from tests.eval.stored_scores import write_folder


def arguments(voc: Path, tmp_path: Path, *more: str) -> list[str]:
    scores = tmp_path / "scores"
    if not scores.exists():
        write_folder(voc, scores)
    text = f"--data {voc} --unaries {scores} --sample 2 --out {tmp_path / 'out'}"
    grids = "--grid-weights 0.1 2 --grid-betas 40 --weights 1 4 --alphas 5 --betas 60 --dense-crf.num-iterations 2"
    return [*text.split(), *grids.split(), *more]


def test_the_best_parameters_of_some_images_on_the_others(
    voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(arguments(voc, tmp_path, "--pictures", "1", "--table", str(tmp_path / "table.csv"))) == 0
    assert [row[:2] for row in cells(tmp_path / "table.csv")[:4]] == [
        ["percent", "origin"], ["unary", "measured"], [GRID, "measured"], [DENSE, "measured"]
    ]  # fmt: skip
    content = json.loads((tmp_path / "out" / "scores.json").read_text())
    source = ScoreSource(voc, tmp_path / "scores", sample=2)
    tried = {
        GRID: [GridCRF(w, 40, 8, 2) for w in (0.1, 2.0)],
        DENSE: [FixedCRF(w, 5, 60, num_iterations=2) for w in (1.0, 4.0)],
    }

    def accuracy(crf: GridCRF | FixedCRF, rest: bool) -> float:
        confusion = Confusion(("background", "cat", "dog"))
        for scored in ScoredImages(source, rest):
            confusion.update(crf.build(3)(scored.unary, scored.image)[0].argmax(0), scored.truth)
        return confusion.scores().pixel_accuracy

    for name, candidates in tried.items():
        best = max(candidates, key=lambda crf: accuracy(crf, False))
        weight = "weight" if name == GRID else "appearance_weight"
        assert content["parameters"][name][weight] == getattr(best, weight)
        assert content["scores"][name]["pixel_accuracy"] == pytest.approx(accuracy(best, True))
        (alone,) = [row for row in content["sweeps"][name] if row["factor"] == 1]
        assert alone["pixel_accuracy"] == pytest.approx(accuracy(best, False))
        assert content["seconds"][name] > 0
    assert (content["tuned_on"], content["images"]) == (2, 2)
    rows = [line for line in capsys.readouterr().out.splitlines() if "measured" in line]
    assert [row.split("  ")[0] for row in rows] == [UNARY, GRID, DENSE]
    for name in ("shrinking.png", "pictures.png"):
        assert (tmp_path / "out" / name).stat().st_size > 10_000

    assert main(arguments(voc, tmp_path)) == 2
    assert "pass another folder" in capsys.readouterr().err


def test_the_grid_crf_of_the_table_is_the_sum_over_edges() -> None:
    """One iteration from the definition, pair by pair."""
    unary, image = torch.randn(1, 2, 3, 3), 255 * torch.rand(1, 3, 3, 3)
    beliefs = unary.softmax(1)
    wanted = unary.clone()
    for (y, x), (v, u) in itertools.product(itertools.product(range(3), range(3)), repeat=2):
        if max(abs(y - v), abs(x - u)) == 1:
            contrast = float((image[0, :, y, x] - image[0, :, v, u]).square().sum())
            weight = 1.5 * 2.718281828 ** (-contrast / (2 * 50**2)) / ((y - v) ** 2 + (x - u) ** 2) ** 0.5
            wanted[0, :, y, x] -= weight * (1 - beliefs[0, :, v, u])
    torch.testing.assert_close(GridCRF(1.5, 50, 8, 1).build(2)(unary, image), wanted, rtol=0, atol=1e-4)


def test_noise_is_the_same_in_every_round(voc: Path, tmp_path: Path) -> None:
    write_folder(voc, tmp_path / "scores")
    images = ScoredImages(ScoreSource(voc, tmp_path / "scores", sample=None))
    noisy = Noisy(images, 2.0)
    first, again = ([scored.unary for scored in noisy.walk("")] for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    added = torch.cat([(one - scored.unary).flatten() for one, scored in zip(first, images, strict=True)])
    assert float(added.std()) == pytest.approx(2, abs=0.1)
    assert all(torch.equal(one.unary, two.unary) for one, two in zip(Noisy(images, 0).walk(""), images, strict=True))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--neighbors", "6"], "neighbors is 6"),
        (["--noise", "-1"], "--noise is -1"),
        (["--tune-list", "nowhere"], "nowhere"),
        (["--sample", "4"], "some left"),
    ],
)
def test_bad_arguments(voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture, more: list[str], message: str) -> None:
    assert main(arguments(voc, tmp_path, *more)) == 2
    assert message in capsys.readouterr().err
