"""From folders of one's own to pictures of their labels, with the commands that the README prints."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import eval.beliefs
import eval.run
import eval.segment
import train.run
import train.targets
from crfrnn.data import folder_set
from crfrnn.data.folders import write_folder_set
from crfrnn.folders import Folders
from crfrnn.nets import load_checkpoint
from train.recipes import Source
from train.steps.mixture import open_source

pytestmark = pytest.mark.usefixtures("_no_pictures")

README = Path(__file__).parents[2] / "train" / "README.md"
SMALL = [
    *("--width", "0.03", "--workers", "0"),
    *("--stages.network.steps", "2", "--stages.network.batch-size", "2", "--stages.network.crop", "33"),
    *("--stages.joint.steps", "2", "--stages.joint.batch-size", "2", "--stages.joint.crop", "33"),
    *("--stages.crf.steps", "1", "--stages.crf.batch-size", "1", "--stages.crf.crop", "33"),
    *("--stages.network.validate-every", "0", "--stages.joint.validate-every", "0"),
]
COMMANDS = {"train.run": train.run.main, "eval.run": eval.run.main, "eval.segment": eval.segment.main}


@pytest.fixture
def farm(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with pictures of three labels in photos and masks."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    for path in sorted((toy / "JPEGImages").iterdir()):
        Image.open(path).save(tmp_path / "photos" / f"{path.stem}.webp")
        labels = np.asarray(Image.open(toy / "SegmentationClass" / f"{path.stem}.png"))
        kept = np.where(labels == 255, 255, labels % 3).astype(np.uint8)
        Image.fromarray(kept).save(tmp_path / "masks" / f"{path.stem}.png")
    return tmp_path


def test_the_example_of_the_readme(farm: Path) -> None:
    section = README.read_text().partition("## Train on your own folders")[2]
    lines = re.search(r"```\n(.*?)```", section, re.DOTALL)
    assert lines is not None
    for line in lines[1].splitlines():
        _, _, command, *argv = shlex.split(line)
        assert COMMANDS[command](argv + (SMALL if command == "train.run" else [])) == 0
    run = farm / "runs" / "farm"
    described = json.loads((run / "folders.json").read_text())
    assert described["classes"] == ["field", "barn", "road"]
    assert [len(described["lists"][name]) for name in ("train", "val")] == [6, 2]  # a fifth of eight, rounded
    assert json.loads((run / "scores" / "scores.json").read_text())["images"] == 2
    assert load_checkpoint(run / "joint.pt")["classes"] == ["field", "barn", "road"]
    assert len(list((run / "pictures").glob("*_overlay.png"))) == 8


def test_a_network_and_folders_of_ones_own_in_four_commands(farm: Path) -> None:
    (farm / "mine.py").write_text("from tests.own_networks import tiny as net\n")
    mine = ["--network", "mine.py:net"]
    small = [word for word in SMALL if word not in ("--width", "0.03")]
    folders = "--images photos --masks masks --classes field barn road --out run"
    assert train.run.main([*folders.split(), *mine, *small]) == 0
    photo, checkpoint = next(iter(sorted(Path("photos").iterdir()))), ["--checkpoint", "run/joint.pt", *mine]
    assert eval.run.main([*checkpoint, "--data", "run/folders.json", "--out", "scores"]) == 0
    assert eval.segment.main([str(photo), *checkpoint, "--out", "pictures"]) == 0
    more = ["--data", "run/folders.json", "--label", "barn", "--iterations", "1", "--out", "beliefs"]
    assert eval.beliefs.main([str(photo), *checkpoint, *more]) == 0
    with Image.open(farm / "pictures" / f"{photo.stem}_overlay.png") as overlay, Image.open(photo) as original:
        assert overlay.width >= original.width
    assert json.loads((farm / "scores" / "scores.json").read_text())["images"] == 2
    assert (farm / "beliefs" / f"{photo.stem}_barn.png").is_file()


def test_a_run_goes_on_with_the_folders_that_it_noted(farm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--images", "photos", "--masks", "masks", "--classes", "field", "barn", "road"]
    assert train.run.main([*folders, "--out", "run", "--only", "network", *SMALL]) == 0
    assert train.run.main(["--resume", "--out", "run"]) == 0
    assert load_checkpoint(farm / "run" / "joint.pt")["classes"] == ["field", "barn", "road"]
    other = ["--images", "photos", "--masks", "masks", "--split-seed", "1", "--classes", "field", "barn", "road"]
    assert train.run.main([*other, "--resume", "--out", "run"]) == 2
    assert "describes another data set" in capsys.readouterr().err
    seen = [
        "--checkpoint",
        "run/joint.pt",
        "--images",
        "photos",
        "--masks",
        "masks",
        "--list",
        "all",
        "--iterations",
        "0",
    ]
    assert eval.run.main(seen) == 0
    assert "8 of the 8 images" in capsys.readouterr().out
    assert eval.run.main([*seen, "--data", "run/folders.json"]) == 2
    assert "both --data run/folders.json and" in capsys.readouterr().err
    assert eval.run.main(seen[:2]) == 2
    assert "neither --data nor" in capsys.readouterr().err


def test_masks_of_0_and_255_are_not_taken_for_void(farm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (farm / "masks").iterdir():
        Image.fromarray((np.asarray(Image.open(path)) == 1).astype(np.uint8) * 255).save(path)
    folders = ["--images", "photos", "--masks", "masks"]
    assert train.run.main([*folders, "--classes", "field", "barn", "--out", "run", *SMALL]) == 2
    assert "pass --colors FILE" in capsys.readouterr().err
    assert train.run.main([*folders, "--classes", "a", "b", "--data", "there"]) == 2
    assert "wanted one" in capsys.readouterr().err


def test_names_of_voc_for_other_labels_are_announced(
    toy: Path, arguments: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The set has six labels and no classes.txt; background to bottle are VOC's first six."""
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / folder).symlink_to(toy / folder)
    more = ["--data", str(tmp_path / "data"), "--only", "network", "--stages.network.steps", "1"]
    assert train.run.main(arguments(tmp_path / "run", *more)) == 0
    said = capsys.readouterr().out
    assert f"{tmp_path / 'data' / 'classes.txt'} does not exist" in said
    assert "15 do not occur" in said
    assert said.index("does not exist") < said.index("recipe toy")  # before it trains


def test_boxes_around_regions_to_train_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cross of label 2 becomes its box; the map is read as it was written, although the masks are painted in colors."""
    (tmp_path / "colors.txt").write_text("0 0 0 field\n9 9 9 barn\n200 0 0 road\n")
    painted, box = np.zeros((9, 12, 3), np.uint8), np.zeros((9, 12), np.uint8)
    painted[4, 2:9] = painted[1:7, 5] = (200, 0, 0)
    box[1:7, 2:9] = 2
    for name in "ab":
        for folder in ("photos", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(painted).save(tmp_path / folder / f"{name}.png")
    folders = Folders(tmp_path / "photos", tmp_path / "masks", tmp_path / "colors.txt")
    flags = [f"--images={folders.images}", f"--masks={folders.masks}", f"--colors={folders.colors}", "--list=all"]
    out = ["--out", str(tmp_path / "maps"), "--kinds", "rect"]
    assert train.targets.main([*flags, *out]) == 2
    assert "--boxes is objects" in capsys.readouterr().err
    assert train.targets.main([*flags, *out, "--boxes", "regions"]) == 0
    (tmp_path / "colors.txt").write_text("0 0 0 field\n200 0 0 road\n9 9 9 barn\n")
    assert train.targets.main([*flags, *out, "--boxes", "regions"]) == 2
    assert "holds files made with another classes, colors (see" in capsys.readouterr().err
    (tmp_path / "colors.txt").write_text("0 0 0 field\n9 9 9 barn\n200 0 0 road\n")
    source = Source(count=1, split="all", masks="rect")
    write_folder_set(tmp_path / "folders.json", folder_set(folders))
    for data in (folder_set(folders), tmp_path / "folders.json"):
        dataset = open_source(source, data, None, tmp_path / "maps")
        assert dataset.classes == ("field", "barn", "road")
        assert dataset[1].labels.tolist() == box.tolist()
