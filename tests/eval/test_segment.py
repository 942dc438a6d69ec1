import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crfrnn import CRFRNN
from crfrnn.nets import DeepLab, model_from_checkpoint
from eval.segment import main

PHOTO = np.random.default_rng(1).integers(0, 256, (22, 35, 3), dtype=np.uint8)


@pytest.fixture
def checkpoint(make_checkpoint: Callable, gentle_crf: CRFRNN) -> Path:
    return make_checkpoint(gentle_crf)


def argmax(checkpoint: Path, rgb: np.ndarray, num_iterations: int | None = None) -> np.ndarray:
    """The labels [H, W] that the model gives to an RGB array [H, W, 3]."""
    model, _ = model_from_checkpoint(checkpoint)
    with torch.no_grad():
        image = torch.from_numpy(rgb).permute(2, 0, 1)[None].float()
        return model(image, num_iterations=num_iterations)[0].argmax(0).numpy()


def segmented(checkpoint: Path, path: Path, *options: str) -> np.ndarray:
    """The label file of `path`, [H, W], once the command has written it."""
    out = path.parent / "out"
    assert main([str(path), "--checkpoint", str(checkpoint), "--out", str(out), *options]) == 0
    with Image.open(out / f"{path.stem}_labels.png") as labels:
        assert labels.mode == "P"
        return np.array(labels)


def test_labels_and_overlay_of_a_photo(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    labels = segmented(checkpoint, path)
    assert np.array_equal(labels, argmax(checkpoint, PHOTO))
    assert len(np.unique(labels)) > 1
    assert "photo_labels.png" in capsys.readouterr().out
    with Image.open(tmp_path / "out" / "photo_overlay.png") as overlay:
        pixels = np.array(overlay.convert("RGB"))[:22, :35]
    inside = labels == 0  # background is left as it is
    assert np.array_equal(pixels[inside], PHOTO[inside])
    assert not np.array_equal(pixels[~inside], PHOTO[~inside])


def test_iterations_and_no_crf(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    results = [segmented(checkpoint, path, *options) for options in ([], ["--iterations", "5"], ["--no-crf"])]
    for found, iterations in zip(results, (2, 5, 0), strict=True):
        assert np.array_equal(found, argmax(checkpoint, PHOTO, iterations))
    assert not np.array_equal(results[0], results[2])


def test_a_large_photo_is_taken_in_tiles(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = np.random.default_rng(2).integers(0, 256, (20, 900, 3), dtype=np.uint8)
    Image.fromarray(wide).save(tmp_path / "photo.png")
    seen: list[int] = []
    features = DeepLab.features
    monkeypatch.setattr(DeepLab, "features", lambda net, image: seen.append(image.shape[-1]) or features(net, image))
    labels = segmented(checkpoint, tmp_path / "photo.png", "--tile", "128")
    assert len(seen) > 1
    assert max(seen) < 900
    assert (labels == argmax(checkpoint, wide)).mean() > 0.999  # rounding may turn a tie


def test_folders_keep_their_names(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("a.b.png", "deep/c.JPG"):
        Image.fromarray(PHOTO).save(tmp_path / "in" / name)
    out = tmp_path / "out"
    assert main([str(tmp_path / "in"), "--checkpoint", str(checkpoint), "--out", str(out)]) == 0
    written = {str(path.relative_to(out)) for path in out.rglob("*.png")}
    assert written == {f"{stem}_{end}.png" for stem in ("a.b", "deep/c") for end in ("labels", "overlay")}


def test_probabilities(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    labels = segmented(checkpoint, path, "--probabilities", "--iterations", "3")
    model, classes = model_from_checkpoint(checkpoint)
    with torch.no_grad():
        logits = model(torch.from_numpy(PHOTO).permute(2, 0, 1)[None].float(), num_iterations=3)
    with np.load(tmp_path / "out" / "photo_probabilities.npz") as stored:
        assert stored["classes"].tolist() == classes
        assert stored["probabilities"].dtype == np.float16
        assert np.allclose(stored["probabilities"], logits[0].softmax(0).numpy(), atol=1e-3)
        assert (stored["probabilities"].argmax(0) == labels).mean() > 0.99  # halves may tie


GREY = PHOTO[..., 0]
MODES = {
    "gray": (Image.fromarray(GREY), np.stack([GREY] * 3, -1)),
    "gray16": (Image.fromarray(GREY.astype(np.uint16) * 257), np.stack([GREY] * 3, -1)),
    "bilevel": (Image.fromarray(GREY > 127), np.stack([(GREY > 127) * np.uint8(255)] * 3, -1)),
    "rgba": (Image.fromarray(np.dstack([PHOTO, GREY])), PHOTO),
    "gray_alpha": (Image.fromarray(np.dstack([GREY, GREY])), np.stack([GREY] * 3, -1)),
}


@pytest.mark.parametrize("mode", MODES)
def test_image_modes(checkpoint: Path, tmp_path: Path, mode: str) -> None:
    image, rgb = MODES[mode]
    image.save(tmp_path / "photo.png")
    assert np.array_equal(segmented(checkpoint, tmp_path / "photo.png"), argmax(checkpoint, rgb))


@pytest.mark.parametrize(("mode", "suffix"), [("P", "png"), ("P", "gif"), ("CMYK", "jpg"), ("CMYK", "tif")])
def test_modes_that_change_colors(checkpoint: Path, tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(PHOTO).convert(mode).save(path)
    with Image.open(path) as stored:
        assert stored.mode == mode
        rgb = np.array(stored.convert("RGB"))
    assert np.array_equal(segmented(checkpoint, path), argmax(checkpoint, rgb))


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_exif_rotation(checkpoint: Path, tmp_path: Path, suffix: str, orientation: int, turns: int) -> None:
    path = tmp_path / f"photo.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PHOTO).save(path, exif=exif)
    upright = np.ascontiguousarray(np.rot90(PHOTO, turns))
    assert np.array_equal(segmented(checkpoint, path), argmax(checkpoint, upright))


def test_bad_images_are_named_and_passed_over(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    good, damaged, missing, turned = (tmp_path / f"{name}.png" for name in ("good", "damaged", "missing", "turned"))
    Image.fromarray(PHOTO).save(good)
    damaged.write_bytes(good.read_bytes()[:500])
    Image.fromarray(PHOTO).save(turned, exif=b"Exif\0\0garbage!")
    out = tmp_path / "out"
    paths = [str(path) for path in (missing, damaged, turned, good)]
    assert main([*paths, "--checkpoint", str(checkpoint), "--out", str(out)]) == 1
    assert sorted(path.name for path in out.iterdir()) == ["good_labels.png", "good_overlay.png"]
    errors = re.findall(r"eval\.segment: .*", capsys.readouterr().err)
    assert len(errors) == 4
    assert "missing.png" in errors[0]
    assert "damaged.png" in errors[1]
    assert "turned.png has damaged EXIF data" in errors[2]
    assert "3 of 4 images could not be read" in errors[3]


def test_inputs_are_not_overwritten(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    inputs = [tmp_path / "photo.png", tmp_path / "photo_labels.png"]
    for path in inputs:
        Image.fromarray(PHOTO).save(path)
    before = [path.read_bytes() for path in inputs]
    assert main([*map(str, inputs), "--checkpoint", str(checkpoint), "--out", str(tmp_path)]) == 2
    assert "is an input itself" in capsys.readouterr().err
    assert [path.read_bytes() for path in inputs] == before
    assert not (tmp_path / "photo_overlay.png").exists()


def test_two_images_of_one_name(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    paths = [str(tmp_path / name) for name in ("photo.png", "photo.jpg")]
    assert main([*paths, "--checkpoint", str(checkpoint), "--out", str(tmp_path)]) == 2
    assert "would both be written" in capsys.readouterr().err


def test_an_image_given_twice_is_segmented_once(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    assert main([str(path), str(path), "--checkpoint", str(checkpoint), "--out", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "--iterations", "-1"], "--iterations is -1"),
        (["photo.png", "--iterations", "3", "--no-crf"], "--no-crf was given"),
        ([], "no image was given"),
        (["photo.png", "--checkpoint", "nowhere.pt"], "nowhere.pt"),
    ],
)
def test_errors_are_one_line(
    checkpoint: Path, capsys: pytest.CaptureFixture, arguments: list[str], message: str
) -> None:
    assert main(["--checkpoint", str(checkpoint), *arguments]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1


def test_a_tile_too_small(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    assert main([str(path), "--checkpoint", str(checkpoint), "--out", str(tmp_path / "out"), "--tile", "7"]) == 2
    assert "--tile is 7; wanted a whole number of at least 8" in capsys.readouterr().err


def test_iterations_without_a_crf(make_checkpoint: Callable, capsys: pytest.CaptureFixture) -> None:
    assert main(["photo.png", "--checkpoint", str(make_checkpoint()), "--iterations", "3"]) == 2
    assert "has no CRF" in capsys.readouterr().err
