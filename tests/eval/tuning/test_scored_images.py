import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from crfrnn.nets import NetworkFunction, build_model, model_from_checkpoint, save_checkpoint
from eval.tuning.scored_images import ScoredImages, ScoreSource, drawn
from tests.eval.stored_scores import logits, write_archive, write_folder


@pytest.fixture
def source(voc: Path, tmp_path: Path) -> ScoreSource:
    return ScoreSource(voc, write_folder(voc, tmp_path / "scores"), sample=None)


def test_scores_from_a_folder(voc: Path, source: ScoreSource) -> None:
    images = ScoredImages(source)
    wanted = logits(voc)
    assert images.names == list("abcd")
    for scored in images:
        size = scored.truth.shape
        stretched = F.interpolate(
            torch.from_numpy(wanted[scored.name])[None], size, mode="bilinear", align_corners=True
        )
        assert torch.equal(scored.unary, stretched)
        assert scored.image.shape[2:] == size
        assert scored.image.max() > 2


def test_scores_from_one_file(voc: Path, source: ScoreSource, tmp_path: Path) -> None:
    images = ScoredImages(replace(source, unaries=write_archive(voc, tmp_path / "all.npz")))
    wanted = torch.from_numpy(logits(voc)["c"][:, :5, :6])[None]
    found = pickle.loads(pickle.dumps(images))[2].unary
    assert torch.equal(found, F.interpolate(wanted, found.shape[2:], mode="bilinear", align_corners=True))


def test_scores_from_a_checkpoint(voc: Path, make_checkpoint: Callable) -> None:
    path = make_checkpoint()
    scored = ScoredImages(ScoreSource(voc, checkpoint=path, sample=None))[1]
    model, _ = model_from_checkpoint(path)
    with torch.no_grad():
        assert torch.equal(scored.unary, model.eval().unary(scored.image))


def test_scores_from_a_network_of_ones_own(voc: Path, tmp_path: Path) -> None:
    path, name = tmp_path / "own.pt", "tests.own_networks:tiny"
    model = build_model(NetworkFunction(name), 3).eval()
    save_checkpoint(path, model, architecture={"name": name, "num_labels": 3}, classes=["background", "cat", "dog"])
    with pytest.raises(ValueError, match="wanted --network tests"):
        ScoredImages(ScoreSource(voc, checkpoint=path, sample=None))[1]
    with pytest.raises(ValueError, match=r"--network is .*:tiny, and there is no --checkpoint that could hold it"):
        ScoredImages(ScoreSource(voc, unaries=tmp_path, network=name, sample=None))
    scored = ScoredImages(ScoreSource(voc, checkpoint=path, network=name, sample=None))[1]
    with torch.no_grad():
        torch.testing.assert_close(scored.unary, model.unary(scored.image))


def test_a_checkpoint_of_as_many_other_labels(voc: Path, make_checkpoint: Callable) -> None:
    path = make_checkpoint(classes=("background", "cat head", "cat body"))
    with pytest.raises(ValueError, match="label 1 is 'cat head'"):
        ScoredImages(ScoreSource(voc, checkpoint=path, sample=None))[0]


def test_a_draw_and_what_it_leaves(source: ScoreSource) -> None:
    own, rest = (ScoredImages(replace(source, sample=3, draw=1), rest).names for rest in (False, True))
    assert sorted(own + rest) == list("abcd")
    assert len(own) == 3
    assert drawn(1000, 100, 0) != drawn(1000, 100, 1)
    assert drawn(1000, 100, 0) == sorted(set(drawn(1000, 100, 0)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unaries": None}, "one of --unaries and --checkpoint"),
        ({"checkpoint": Path("x.pt")}, "one of --unaries and --checkpoint"),
        ({"sample": 5}, "1 or more of the 4"),
        ({"sample": 0}, "1 or more of the 4"),
    ],
)
def test_settings_that_make_no_sense(source: ScoreSource, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScoredImages(replace(source, **changes))


def test_nothing_left_over(source: ScoreSource) -> None:
    with pytest.raises(ValueError, match="some left over"):
        ScoredImages(source, rest=True)


def test_missing_scores_are_named(source: ScoreSource, voc: Path, tmp_path: Path) -> None:
    assert source.unaries is not None
    (source.unaries / "c.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"neither c\.npy nor c\.npz"):
        ScoredImages(source)
    np.savez(tmp_path / "few.npz", names=["a", "c"], logits=np.zeros((2, 4, 4, 3), np.float32))
    with pytest.raises(ValueError, match="no scores for 2 of the 4 images, as 'b'"):
        ScoredImages(replace(source, unaries=tmp_path / "few.npz"))


@pytest.mark.parametrize(
    ("scores", "message"),
    [(np.zeros((4, 5, 5), np.float32), "over 4 labels"), (np.full((3, 5, 5), np.nan, np.float32), "are not finite")],
)
def test_scores_that_do_not_fit(source: ScoreSource, scores: np.ndarray, message: str) -> None:
    assert source.unaries is not None
    np.save(source.unaries / "a.npy", scores)
    with pytest.raises(ValueError, match=message):
        ScoredImages(source)[0]


def test_damaged_files_are_named(voc: Path, source: ScoreSource, tmp_path: Path) -> None:
    whole = write_archive(voc, tmp_path / "all.npz")
    whole.write_bytes(whole.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"all\.npz cannot be read"):
        ScoredImages(replace(source, unaries=whole))
    assert source.unaries is not None
    (source.unaries / "a.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.npy cannot be read"):
        ScoredImages(source)[0]


def test_fingerprints_tell_scores_apart(source: ScoreSource, tmp_path: Path) -> None:
    assert source.unaries is not None
    before = source.scores_fingerprint()
    assert source.scores_fingerprint() == before
    np.save(source.unaries / "a.npy", 2 * np.load(source.unaries / "a.npy"))
    assert source.scores_fingerprint() != before
    file = tmp_path / "scores.npz"
    file.write_bytes(b"one")
    one = replace(source, unaries=file).scores_fingerprint()
    file.write_bytes(b"two")
    assert replace(source, unaries=file).scores_fingerprint() != one
