"""Reading the unaries of a network: sizes, integers and canvases with values worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch

from eval.bench.task import guide_image, resized, synthetic_unary
from eval.inputs.scores_file import read_unary


@pytest.mark.parametrize("shape", [(2, 1, 2), (1, 2, 1, 2)])
def test_npy_is_stretched_corner_to_corner(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "unary.npy", np.array([0.0, 4.0, 1.0, 2.0]).reshape(shape))
    unary = read_unary(tmp_path / "unary.npy", (1, 5))
    assert unary.dtype == torch.float32
    assert unary.tolist() == [[[[0, 1, 2, 3, 4]], [[1, 1.25, 1.5, 1.75, 2]]]]


def test_npz_of_many_images(tmp_path: Path) -> None:
    logits = np.zeros((2, 2, 2, 3), np.uint8)
    logits[1] = 36
    logits[1, :, 1, 2] = 46
    path = tmp_path / "unary.npz"
    np.savez(path, names=["a", "b"], logits=logits, scale_zero=[0.5, 36.0], canvas_wh=[[17, 17], [9, 17]])
    # Cells at columns 0 and 16 of the canvas hold 0 and 0.5 * 10; the image ends at column 8, half way between.
    unary = read_unary(path, (1, 3), "b")
    assert unary.shape == (1, 3, 1, 3)
    assert unary[0, 2, 0].tolist() == pytest.approx([0.0, 1.25, 2.5])
    assert not unary[0, :2].any()
    with pytest.raises(ValueError, match="no unary for 'c'"):
        read_unary(path, (1, 3), "c")


def test_files_that_are_no_unaries(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"flat.npy holds float64 \[4, 4\]; wanted floating-point logits"):
        read_unary(tmp_path / "flat.npy", (2, 2))
    np.savez(tmp_path / "other.npz", scores=np.zeros((2, 4, 4)))
    with pytest.raises(ValueError, match="wanted an array named 'logits'"):
        read_unary(tmp_path / "other.npz", (2, 2))


MANY = {
    "names": np.array(["a", "b"]),
    "logits": np.ones((2, 2, 3, 4), np.uint8),
    "scale_zero": np.array([0.5, 3.0]),
    "canvas_wh": np.array([[9, 9], [9, 9]]),
}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("names", np.array(["a", "b", "c"]), r"names \[3\]; wanted numbers \[n, h, w, L\] and as many"),
        ("logits", np.ones((2, 3, 4)), r"logits float64 \[2, 3, 4\]"),
        ("logits", np.full((2, 2, 3, 4), "x"), r"logits <U1"),
        ("logits", np.full((2, 2, 3, 4), np.nan), "not finite"),
        ("logits", np.full((2, 2, 3, 4), 1e300), "not finite"),
        ("scale_zero", np.ones(3), "wanted two numbers"),
        ("scale_zero", np.array([np.inf, 0]), "not finite"),
        ("canvas_wh", np.ones((2, 3), int), "wanted widths and heights"),
        ("canvas_wh", np.array([[9, 9], [9, 0]]), "wanted widths and heights"),
        ("canvas_wh", np.array([[9, 9], [9, 2.5]]), "wanted widths and heights"),
    ],
)
def test_arrays_of_other_shapes(tmp_path: Path, name: str, value: np.ndarray, message: str) -> None:
    path = tmp_path / "scores.npz"
    np.savez(path, **MANY)
    assert read_unary(path, (2, 2), "b").shape == (1, 4, 2, 2)
    np.savez(path, **{**MANY, name: value})
    with pytest.raises(ValueError, match=rf"scores\.npz holds .*{message}"):
        read_unary(path, (2, 2), "b")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "good.npz", **MANY)
    good = (tmp_path / "good.npz").read_bytes()
    np.save(tmp_path / "good.npy", np.ones((2, 3, 4)))
    array = (tmp_path / "good.npy").read_bytes()
    for content in (
        b"",
        b"no array",
        good[: len(good) // 2],
        good[:60] + bytes(20) + good[80:],
        array[:-9],
        array.replace(b"(2, 3, 4), }              ", b"(2, 375000, 170000), }    "),  # a terabyte
        array.replace(b"'<f8'", b"'|O' "),
    ):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"bad\.npz cannot be read") as caught:
            read_unary(tmp_path / "bad.npz", (2, 2), "a")
        assert "allow_pickle" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_unary(tmp_path, (2, 2))


def test_inputs_without_files() -> None:
    image = guide_image(None, (60, 80))
    assert image.shape == (1, 3, 60, 80)
    half = resized(image, (30, 40))
    assert half.shape == (1, 3, 30, 40)
    assert torch.equal(half, half.round())
    assert half.mean() == pytest.approx(float(image.mean()), abs=1)
    assert synthetic_unary(4, (30, 40)).shape == (1, 4, 30, 40)
    assert torch.equal(synthetic_unary(4, (30, 40)), synthetic_unary(4, (30, 40)))
