"""Submissions to the VOC server: a good archive, seven wrong ones, and a command that continues after an interruption."""

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crfrnn.data import VOC_CLASSES, write_labels
from crfrnn.nets import build_model, model_from_checkpoint, save_checkpoint
from eval.submission import problems, write_archive
from eval.submit import main
from tests.eval.children import killed_after

SIZES = {"2008_000001": (9, 7), "2008_000002": (5, 8)}
FOLDER = "results/VOC2012/Segmentation/comp6_test_cls"


def write_maps(folder: Path) -> dict[str, Path]:
    folder.mkdir()
    for name, (width, height) in SIZES.items():
        labels = torch.arange(width * height).remainder(21).to(torch.uint8).view(height, width)
        write_labels(folder / f"{name}.png", labels)
    return {name: folder / f"{name}.png" for name in SIZES}


def other_palette(path: Path) -> None:
    with Image.open(path) as picture:
        changed = picture.copy()
    changed.putpalette(list(range(63)))
    changed.save(path)


WRONG: dict[str, tuple[Callable[[dict[str, Path]], object], str]] = {
    "missing": (lambda maps: maps.pop("2008_000002"), f"{FOLDER}/2008_000002.png: is missing"),
    "extra": (lambda maps: maps.update({"more": maps["2008_000001"]}), f"{FOLDER}/more.png: does not belong there"),
    "void": (
        lambda maps: write_labels(maps["2008_000001"], torch.full((7, 9), 255, dtype=torch.uint8)),
        "2008_000001.png holds the label 255; wanted 0..20, without void",
    ),
    "size": (
        lambda maps: write_labels(maps["2008_000001"], torch.zeros(9, 7, dtype=torch.uint8)),
        "2008_000001.png is 7 x 9; wanted 9 x 7 as its photograph",
    ),
    "colors": (
        lambda maps: Image.new("RGB", (9, 7)).save(maps["2008_000001"]),
        "holds RGB pixels; wanted a palette PNG",
    ),
    "palette": (lambda maps: other_palette(maps["2008_000001"]), "has other colors than VOC's palette"),
    "damaged": (lambda maps: maps["2008_000001"].write_bytes(b"none"), "is not a readable PNG"),
}


def test_a_good_archive(tmp_path: Path) -> None:
    archive = tmp_path / "good.tar.gz"
    write_archive(write_maps(tmp_path / "maps"), archive, "comp6", "test")
    assert problems(archive, SIZES, "comp6", "test") == []
    with tarfile.open(archive) as tar:
        assert tar.getnames() == [f"{FOLDER}/{name}.png" for name in SIZES]
    assert len(problems(archive, SIZES, "comp5", "test")) == 2  # all missing, and all in another folder


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_archive(kind: str, tmp_path: Path) -> None:
    spoil, message = WRONG[kind]
    maps = write_maps(tmp_path / "maps")
    spoil(maps)
    write_archive(maps, tmp_path / "wrong.tar.gz", "comp6", "test")
    found = problems(tmp_path / "wrong.tar.gz", SIZES, "comp6", "test")
    assert len(found) == 1
    assert message in found[0]


def test_an_image_that_is_there_twice(tmp_path: Path) -> None:
    maps = write_maps(tmp_path / "maps")
    with tarfile.open(tmp_path / "twice.tar.gz", "w:gz") as tar:
        for name in [*SIZES, "2008_000001"]:
            tar.add(maps[name], f"{FOLDER}/{name}.png")
    (line,) = problems(tmp_path / "twice.tar.gz", SIZES, "comp6", "test")
    assert line.startswith(f"{FOLDER}/2008_000001.png: is there more than once")


def test_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "text.tar.gz").write_text("text")
    assert "is not a readable tar archive" in problems(tmp_path / "text.tar.gz", SIZES, "comp6", "test")[0]
    good = tmp_path / "good.tar.gz"
    write_archive(write_maps(tmp_path / "maps"), good, "comp6", "test")
    content = bytearray(good.read_bytes())
    content[60:80] = bytes(20)
    good.write_bytes(content)
    assert "is not a readable tar archive" in problems(good, SIZES, "comp6", "test")[0]
    with pytest.raises(FileNotFoundError, match="no archive"):
        problems(tmp_path / "none.tar.gz", SIZES, "comp6", "test")
    with pytest.raises(ValueError, match="'comp3'; wanted one of comp5, comp6"):
        problems(tmp_path / "text.tar.gz", SIZES, "comp3", "test")


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    """Photographs and a test list, without masks."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    (root / "JPEGImages").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "test.txt").write_text("\n".join(SIZES))
    random = np.random.default_rng(0)
    for name, (width, height) in SIZES.items():
        Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).save(root / "JPEGImages" / f"{name}.jpg")
    return root.parent


def test_a_submission_from_a_checkpoint(devkit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    architecture = {"num_labels": 21, "width": 0.02}
    checkpoint, out = tmp_path / "model.pt", tmp_path / "out"
    model = build_model(**architecture)
    torch.nn.init.normal_(model.network.fc8.weight)
    save_checkpoint(checkpoint, model, architecture=architecture, classes=list(VOC_CLASSES))
    command = ["--data", str(devkit), "--checkpoint", str(checkpoint), "--out", str(out)]
    assert main(command) == 0
    assert "2 images, good to upload" in capsys.readouterr().out
    written = out / "labels" / "2008_000001.png"
    with (
        Image.open(devkit / "VOC2012/JPEGImages/2008_000001.jpg") as photo,
        Image.open(written) as labels,
        torch.no_grad(),
    ):
        image = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float()
        wanted = model_from_checkpoint(checkpoint)[0](image)[0].argmax(0)
        assert np.array_equal(np.array(labels), wanted.numpy())

    # What is there is not made again, and what is missing is.
    time = written.stat().st_mtime_ns
    (out / "labels" / "2008_000002.png").unlink()
    assert main(command) == 0
    assert written.stat().st_mtime_ns == time
    assert main(["--data", str(devkit), "--check", str(out / "comp6_test.tar.gz")]) == 0
    assert main(["--data", str(devkit), "--check", str(out / "comp6_test.tar.gz"), "--competition", "comp5"]) == 1
    assert main([*command, "--iterations", "0"]) == 2
    assert "made with another iterations" in capsys.readouterr().err
    assert main([*command, "--iterations", "3"]) == 2
    assert "--iterations 3 has nothing to act on, since" in capsys.readouterr().err
    torch.nn.init.normal_(model.network.fc8.weight)
    save_checkpoint(checkpoint, model, architecture=architecture, classes=list(VOC_CLASSES))
    assert main(command) == 2
    assert "made with another content" in capsys.readouterr().err
    assert json.loads((out / "labels" / "made_by.json").read_text())["settings"]["iterations"] is None


def test_an_archive_follows_from_its_label_maps(tmp_path: Path) -> None:
    paths = write_maps(tmp_path / "maps")
    for name in ("first", "second"):
        write_archive(paths, tmp_path / f"{name}.tar.gz", "comp6", "test")
        for path in paths.values():
            os.utime(path, (0, 10**9))
    assert (tmp_path / "first.tar.gz").read_bytes() == (tmp_path / "second.tar.gz").read_bytes()


def test_a_killed_submission_goes_on(devkit: Path, make_checkpoint: Callable, tmp_path: Path) -> None:
    command = ["--data", str(devkit), "--checkpoint", str(make_checkpoint(classes=VOC_CLASSES)), "--out"]
    assert main([*command, str(tmp_path / "whole")]) == 0
    killed = [*command, str(tmp_path / "killed")]
    assert killed_after("eval.submit:main", killed, "crfrnn.data:write_labels", 1) == -9
    assert not (tmp_path / "killed" / "comp6_test.tar.gz").exists()
    assert main(killed) == 0
    for name in ("comp6_test.tar.gz", *(f"labels/{name}.png" for name in SIZES)):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_cannot_be_submitted(
    devkit: Path, make_checkpoint: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")]
    for arguments, message in (
        (["--data", str(devkit), "--checkpoint", str(make_checkpoint()), *out], "wanted those of VOC"),
        (["--data", str(devkit)], "wanted --checkpoint and --out"),
        (["--data", str(devkit), "--list", "other", *out], "there is no list"),
        (["--data", str(devkit / "VOC2012" / "ImageSets"), *out], "holds neither JPEGImages"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
    (devkit / "VOC2012/JPEGImages/2008_000002.jpg").unlink()
    assert main(["--data", str(devkit), *out]) == 2
    assert "1 file listed in the list test does not exist" in capsys.readouterr().err
