"""train.targets as a user runs it: boxes from every source, restarts, and folders made otherwise."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import train.label_maps
from crfrnn.data import LabeledBox, make_toy, read_labels, write_labels
from crfrnn.data.coco import COCO_CATEGORIES
from crfrnn.weak import rect_targets, seg_targets
from train.targets import main


@pytest.fixture
def run(toy: Path, tmp_path: Path) -> Callable[..., int]:
    def start(*more: str) -> int:
        return main(["--data", str(toy), "--list", "val", "--out", str(tmp_path / "out"), *more])

    return start


def test_maps_of_connected_regions(run: Callable, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("--boxes", "regions", "--seg.num-iterations", "3") == 0
    assert "2 of 2 images done" in capsys.readouterr().out
    for kind in ("rect", "seg"):
        assert sorted(path.name for path in (tmp_path / "out" / kind).iterdir()) == [
            "parameters.json", "val_00000.png", "val_00001.png"
        ]  # fmt: skip
    labels = read_labels(toy / "SegmentationClass" / "val_00000.png")
    rect = read_labels(tmp_path / "out" / "rect" / "val_00000.png")
    objects = (labels != 0) & (labels != 255)
    assert set(rect.unique().tolist()) == set(labels.unique().tolist()) - {255}
    assert (rect[objects] != 0).all()
    assert int((rect != 0).sum()) > int(objects.sum())
    parameters = json.loads((tmp_path / "out" / "seg" / "parameters.json").read_text())
    assert parameters["settings"]["boxes"] == "regions"
    assert parameters["settings"]["seg"]["num_iterations"] == 3
    assert parameters["command"].startswith("python -m train.targets --data")


def test_what_is_there_is_kept_and_what_is_not_is_made(
    run: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Interrupted after the first image."""
    calls = 0
    original = train.label_maps.target

    def target(*args: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(train.label_maps, "target", target)
        with pytest.raises(KeyboardInterrupt):
            run("--boxes", "regions")
    out = tmp_path / "out"
    assert {path.name for path in out.rglob("*.png")} == {"val_00000.png"}
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert run("--boxes", "regions") == 0
    assert "1 of 2 images done, the others were there" in capsys.readouterr().out
    assert len(list(out.rglob("*.png"))) == 4
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert run("--boxes", "regions", "--seg.appearance-weight", "7") == 2
    assert "holds files made with another seg" in capsys.readouterr().err
    assert run("--boxes", "regions", "--seg.appearance-weight", "7", "--kinds", "rect") == 0  # Bbox-Rect has no CRF
    other = make_toy(tmp_path / "other", num_train=1, num_val=2, size=(48, 56))
    assert run("--boxes", "regions", "--data", str(other)) == 2
    assert "holds files made with another data" in capsys.readouterr().err


def test_what_was_half_written_when_the_command_was_killed_is_removed(run: Callable, tmp_path: Path) -> None:
    """Before the parameters were complete, and then among label maps."""
    folder = tmp_path / "out" / "rect"
    folder.mkdir(parents=True)
    (folder / f".parameters.json.{32 * 'a'}").write_text("{")
    assert run("--boxes", "regions", "--kinds", "rect") == 0
    complete = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(complete) == {"parameters.json", "val_00000.png", "val_00001.png"}
    (folder / f".val_00000.png.{32 * 'b'}").write_bytes(complete["val_00000.png"][:40])
    (folder / "val_00000.png").unlink()
    assert run("--boxes", "regions", "--kinds", "rect") == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == complete


@pytest.mark.parametrize("value", ["nan", "inf", "1e309", "-1", "0"])
def test_numbers_of_the_crf_that_make_no_sense(run: Callable, value: str, capsys: pytest.CaptureFixture) -> None:
    assert run("--boxes", "regions", "--seg.theta-beta", value) == 2
    assert f"--seg.theta-beta is {float(value)}; wanted 0.01 <= theta_beta <= 1,000,000" in capsys.readouterr().err


def test_boxes_around_objects(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = make_toy(tmp_path / "toy", num_train=1, num_val=1, size=(48, 56))
    argv = ["--data", str(root), "--list", "val", "--out", str(tmp_path / "out")]
    assert main(argv) == 2
    assert "have no masks of objects" in capsys.readouterr().err
    labels, objects = (torch.zeros(48, 56, dtype=torch.uint8) for _ in range(2))
    labels[5:30, 4:40], objects[5:30, 4:22], objects[5:30, 22:40] = 3, 1, 2  # two that touch
    (root / "SegmentationObject").mkdir()
    write_labels(root / "SegmentationClass" / "val_00000.png", labels)
    write_labels(root / "SegmentationObject" / "val_00000.png", objects)
    assert main(argv) == 0
    boxes = [LabeledBox(3, 5, 4, 30, 22), LabeledBox(3, 5, 22, 30, 40)]
    from crfrnn.data import read_image

    image = read_image(root / "JPEGImages" / "val_00000.jpg")
    got = {kind: read_labels(tmp_path / "out" / kind / "val_00000.png") for kind in ("rect", "seg")}
    assert torch.equal(got["rect"], rect_targets(boxes, 48, 56))
    assert torch.equal(got["seg"], seg_targets(image, boxes))
    assert not torch.equal(got["rect"], got["seg"])


def test_masks_of_objects_are_vocs_own_where_train_aug_has_none(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = make_toy(tmp_path / "toy", num_train=1, num_val=2, size=(48, 56))
    objects = torch.zeros(48, 56, dtype=torch.uint8)
    objects[5:30, 4:22] = 1
    for folder, name in (("SegmentationObjectAug", "val_00000"), ("SegmentationObject", "val_00001")):
        (root / folder).mkdir()
        write_labels(root / folder / f"{name}.png", objects)
        write_labels(root / "SegmentationClass" / f"{name}.png", 3 * objects)
    argv = ["--data", str(root), "--list", "val", "--kinds", "rect", "--out", str(tmp_path / "out")]
    assert main(argv) == 0
    assert torch.equal(read_labels(tmp_path / "out" / "rect" / "val_00001.png"), 3 * objects)
    (root / "SegmentationObject" / "val_00001.png").unlink()
    assert main(argv) == 2
    assert "1 of 2 images, such as val_00001, have no masks of objects" in capsys.readouterr().err


def test_boxes_of_annotations_need_no_masks(tmp_path: Path, toy: Path, capsys: pytest.CaptureFixture) -> None:
    root = tmp_path / "VOC2012"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    (root / "JPEGImages" / "a.jpg").write_bytes((toy / "JPEGImages" / "val_00000.jpg").read_bytes())
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("a\n")
    box = "<bndbox><xmin>3</xmin><ymin>2</ymin><xmax>10</xmax><ymax>9</ymax></bndbox>"
    size = "<size><width>56</width><height>48</height></size>"
    xml = f"<annotation>{size}<object><name>cat</name>{box}</object></annotation>"
    (root / "Annotations" / "a.xml").write_text(xml)
    argv = ["--data", str(root), "--list", "train", "--boxes", "xml", "--kinds", "rect", "--out", str(tmp_path / "out")]
    assert main(argv) == 0
    assert torch.equal(
        read_labels(tmp_path / "out" / "rect" / "a.png"), rect_targets([LabeledBox(8, 1, 2, 9, 10)], 48, 56)
    )
    (root / "classes.txt").write_text("background\ndog\ncat")
    assert main([*argv[:-1], str(tmp_path / "own")]) == 0
    assert torch.equal(
        read_labels(tmp_path / "own" / "rect" / "a.png"), rect_targets([LabeledBox(2, 1, 2, 9, 10)], 48, 56)
    )
    (root / "Annotations" / "a.xml").write_text(xml.replace("48", "99").replace(">9<", ">90<"))  # of another photograph
    assert main([*argv[:-1], str(tmp_path / "other")]) == 2
    assert "a: LabeledBox(label=2" in capsys.readouterr().err


def test_boxes_of_coco(tmp_path: Path, toy: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes((toy / "JPEGImages" / "val_00000.jpg").read_bytes())
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 48, "width": 56}],
        "categories": [{"id": number, "name": name} for number, name in COCO_CATEGORIES.items()],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 17, "iscrowd": 0, "segmentation": [], "bbox": [2, 1, 8, 8]}
        ],
    }
    (tmp_path / "instances_train.json").write_text(json.dumps(content))
    argv = ["--data", str(tmp_path), "--list", "train", "--boxes", "coco", "--out", str(tmp_path / "out")]
    assert main(argv) == 0
    assert torch.equal(
        read_labels(tmp_path / "out" / "rect" / "a.png"), rect_targets([LabeledBox(8, 1, 2, 9, 10)], 48, 56)
    )


def test_scribbles_made_from_masks(run: Callable, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """They have the labels of the masks, in every run the same; what is there is kept, another seed is refused."""
    assert run("--kinds", "scribbles") == 0
    assert "2 of 2 images done" in capsys.readouterr().out
    folder = tmp_path / "out" / "scribbles"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {"parameters.json", "val_00000.png", "val_00001.png"}
    labels = read_labels(toy / "SegmentationClass" / "val_00000.png")
    drawn = read_labels(folder / "val_00000.png")
    assert torch.equal(drawn[drawn != 255], labels[drawn != 255])
    assert set(drawn.unique().tolist()) >= set(labels.unique().tolist())
    assert 0 < (drawn != 255).float().mean() < 0.3
    (folder / "val_00000.png").unlink()
    assert run("--kinds", "scribbles") == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert run("--kinds", "scribbles", "--seed", "1") == 2
    assert "holds files made with another seed" in capsys.readouterr().err
    assert run("--kinds", "scribbles", "--seed", "-1") == 2
    assert "--seed is -1; wanted 0 <= seed" in capsys.readouterr().err


def test_published_scribbles_beside_boxes(run: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A folder of XML files, from which one is missing at first."""
    folder = tmp_path / "xml"
    folder.mkdir()
    points = "".join(f"<point><X>{x}</X><Y>20</Y></point>" for x in (10, 30))
    text = "<annotation><size><width>56</width><height>48</height></size>" + (
        f"<polygon><tag>background</tag>{points}</polygon></annotation>"
    )
    (folder / "val_00000.xml").write_text(text)
    argv = ["--boxes", "regions", "--kinds", "rect", "scribbles", "--scribbles", str(folder)]
    assert run(*argv) == 2
    assert "1 of 2 images have no scribbles in" in capsys.readouterr().err
    (folder / "val_00001.xml").write_text(text.replace("background", "unicorn"))
    assert run(*argv) == 2
    assert "val_00001: " in (error := capsys.readouterr().err)
    assert "class 'unicorn'" in error
    (folder / "val_00001.xml").write_text(text)
    assert run(*argv) == 0
    wanted = torch.full((48, 56), 255, dtype=torch.uint8)
    wanted[19:22, 9:32] = 0
    assert torch.equal(read_labels(tmp_path / "out" / "scribbles" / "val_00001.png"), wanted)
    assert (tmp_path / "out" / "rect" / "val_00001.png").exists()
