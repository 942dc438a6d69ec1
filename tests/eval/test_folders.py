"""Commands on photographs and masks in folders of one's own score the same as on the same pictures in VOC's layout."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import eval.beliefs
import eval.compare
import eval.pictures.belief_maps
import eval.pictures.figures
import eval.run
import eval.submit
import eval.tuning.ablate
import eval.tuning.ablation_report
import eval.tuning.grid_crf
import eval.tuning.learn
import eval.tuning.search
import eval.tuning.table
from crfrnn.data import VOC_CLASSES
from crfrnn.data.folders import folder_set, write_folder_set
from crfrnn.folders import Folders
from tests.eval.conftest import CLASSES
from tests.eval.stored_scores import write_archive, write_folder

PAINT = ((0, 0, 0), (9, 90, 200), (250, 128, 0))


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time of pictures this small."""
    for module, names in {
        eval.compare: ["save"],
        eval.beliefs: ["save_animation"],
        eval.pictures.belief_maps: ["belief_figure", "frames"],
        eval.pictures.figures: ["save_figure"],
        eval.tuning.grid_crf: ["save_figure", "shrinking_figure", "panel"],
        eval.tuning.ablation_report: ["save_figure", "curves"],
        eval.tuning.table: ["save_figure", "bars"],
    }.items():
        for name in names:
            monkeypatch.setattr(module, name, lambda *arguments, **more: ())


@pytest.fixture
def flags(voc: Path, tmp_path: Path) -> str:
    """The flags of the pictures of `voc` in folders, the masks painted in colors."""
    shutil.copytree(voc / "JPEGImages", tmp_path / "photos")
    (tmp_path / "masks").mkdir()
    for path in (voc / "SegmentationClass").iterdir():
        labels = np.asarray(Image.open(path))
        painted = np.full((*labels.shape, 3), 255, np.uint8)
        for label, color in enumerate(PAINT):
            painted[labels == label] = color
        Image.fromarray(painted).save(tmp_path / "masks" / f"{path.stem}.tiff")
    table = [f"{r} {g} {b} {name}" for (r, g, b), name in zip(PAINT, CLASSES, strict=True)]
    (tmp_path / "colors.txt").write_text("\n".join([*table, "255 255 255 void"]))
    return f"--images {tmp_path / 'photos'} --masks {tmp_path / 'masks'} --colors {tmp_path / 'colors.txt'} --list all"


@pytest.fixture
def noted(flags: str, tmp_path: Path) -> str:
    """The flags of the same pictures by the file that a run keeps of them."""
    source = folder_set(Folders(tmp_path / "photos", tmp_path / "masks", tmp_path / "colors.txt"))
    write_folder_set(tmp_path / "folders.json", source)
    return f"--data {tmp_path / 'folders.json'} --list all"


@pytest.fixture
def results(voc: Path, flags: str, noted: str, tmp_path: Path) -> Callable[..., list[Any]]:
    """What a command writes into a JSON file in --out, for VOC's layout, for flags, and for folders.json."""

    def ask(main: Callable[[list[str]], int], more: str, file: str, name: str) -> list[Any]:
        found = []
        for number, data in enumerate((f"--data {voc}", flags, noted)):
            out = tmp_path / f"out{number}"
            out.mkdir()
            assert main([*data.split(), *more.split(), "--out", str(out)]) == 0
            found.append(json.loads((tmp_path / file.format(out=out.name)).read_text())[name])
        return found

    return ask


@pytest.mark.parametrize(
    ("command", "more", "file", "name"),
    [
        (
            eval.tuning.search,
            "--grid.theta-alpha 20 --grid.theta-beta 9 --rounds 0 --sample 3",
            "{out}/crf.json",
            "tried",
        ),
        (eval.tuning.learn, "--steps 2 --sample 2", "{out}/crf.json", "losses"),
        (
            eval.tuning.ablate,
            "--steps 1 --sample 2 --train-iterations 1 --test-iterations 1",
            "{out}/ablation.json",
            "cells",
        ),
        (
            eval.tuning.grid_crf,
            "--sample 2 --alphas 20 --betas 9 --weights 2 --grid-weights 2 --grid-betas 9",
            "{out}/scores.json",
            "scores",
        ),
        (eval.compare, "", "{out}/compare.json", "images"),
    ],
)
def test_stored_scores(
    results: Callable[..., list[Any]], voc: Path, tmp_path: Path, command: Any, more: str, file: str, name: str
) -> None:
    archive = write_archive(voc, tmp_path / "scores.npz")
    wanted, *found = results(
        command.main, f"{more} --{'scores' if command is eval.compare else 'unaries'} {archive}", file, name
    )
    assert wanted
    assert found == [wanted, wanted]


def test_the_table(results: Callable[..., list[Any]], voc: Path, tmp_path: Path) -> None:
    more = f"--sample 2 --unaries {write_folder(voc, tmp_path / 'scores')}"
    wanted, *found = (
        {name: row["iou"] for name, row in rows.items()}
        for rows in results(eval.tuning.table.main, more, "{out}.json", "rows")
    )
    assert found == [wanted, wanted]


def test_a_checkpoint_names_the_labels(results: Callable[..., list[Any]], make_checkpoint: Callable) -> None:
    more = f"--checkpoint {make_checkpoint()} --iterations 1 --subset cat"
    wanted, *found = results(eval.run.main, more, "{out}/scores.json", "scores")
    assert found == [wanted, wanted]


def test_the_truth_of_belief_maps(
    voc: Path, flags: str, noted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = (
        f"{tmp_path / 'photos' / 'b.jpg'} --label cat --scores {write_archive(voc, tmp_path / 's.npz')} --iterations 1"
    )
    named = f"--classes {' '.join(CLASSES)} --truth {voc / 'SegmentationClass' / 'b.png'}"
    tables = []
    for number, data in enumerate((named, flags.replace("--list all", ""), noted.replace("--list all", ""))):
        assert eval.beliefs.main([*photo.split(), *data.split(), "--out", str(tmp_path / f"out{number}")]) == 0
        tables.append(capsys.readouterr().out.partition("\n\n")[2])
    assert "mean IoU" in tables[0]
    assert tables == tables[:1] * 3
    wrong = [*photo.split(), *noted.replace("--list all", "").split(), "--truth", "b.png"]
    assert eval.beliefs.main(wrong) == 2
    assert "wanted one of the two" in capsys.readouterr().err
    assert eval.beliefs.main([*photo.split(), "--data", str(voc)]) == 2
    assert "wanted the folders.json of a run" in capsys.readouterr().err


def test_photographs_to_submit_need_no_masks(make_checkpoint: Callable, flags: str, noted: str, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(classes=VOC_CLASSES)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "test.txt").write_text("c.jpg\na\n")
    photos = f"--images {tmp_path / 'photos'}"
    for number, data in enumerate((f"{photos} --list {tmp_path / 'lists' / 'test.txt'}", noted)):
        out = tmp_path / f"out{number}"
        assert eval.submit.main([*data.split(), "--checkpoint", str(checkpoint), "--out", str(out)]) == 0
    assert (tmp_path / "out0" / "comp6_test.tar.gz").is_file()
    assert (tmp_path / "out1" / "comp6_all.tar.gz").is_file()
    assert sorted(path.stem for path in (tmp_path / "out0" / "labels").glob("*.png")) == ["a", "c"]
