"""A run whose data, lists, label maps or weights are missing names all of them, where it looked, and what makes them."""

import re
from collections.abc import Callable
from importlib import util
from pathlib import Path

import pytest

import train.checks.prerequisites
from train.run import main


@pytest.fixture
def refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], list[str]]:
    """The numbered parts of the line with which a run is refused; it must leave nothing behind."""
    monkeypatch.chdir(tmp_path)

    def ask(argv: str) -> list[str]:
        before = sorted(tmp_path.rglob("*"))
        assert main(argv.split()) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before
        return re.split(r"; \(\d\) |: \(1\) ", said.err.strip())

    return ask


def test_everything_that_is_missing_is_named_at_once(refused: Callable[[str], list[str]]) -> None:
    first, *missing = refused("--recipe semi_box --data VOCdevkit --targets maps --init weights.pth --out run")
    assert first == "train.run: 4 things are missing"
    val, train, maps, weights = missing
    assert re.search(r"no folder VOCdevkit; .*list val.*python -m crfrnn.data.download voc2012 --out DIR", val)
    assert "list train" in train
    assert re.search(
        r"no folder maps/rect .*python -m train.targets --data VOCdevkit --list weak --kinds rect --out maps", maps
    )
    assert re.search(r"no weights at 'weights.pth'.*python -m crfrnn.data.download vgg16-imagenet", weights)


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (
            "--recipe voc --data VOC",
            [r"list val. python -m crfrnn.data.download voc2012", r"crfrnn.data.train_aug --voc VOC "],
        ),
        ("--recipe voc --train-list fit.txt --data VOC", [r"list val\.", r"list fit.txt"]),
        (
            "--recipe semi_image --data VOC",
            [r"list val", r"list train\.", r"list weak.*crfrnn.data.train_aug --voc VOC"],
        ),
        ("--recipe msrc --data MSRC", [r"MSRC;.*data.download msrc21 .*Val.txt", r"download msrc21.*Train.txt"]),
        (
            "--recipe weak_box_seg",
            [r"no data are named.*list train_aug; pass --data", r"label maps seg of the list train_aug; .*--targets"],
        ),
        (
            "--recipe coco_joint --init my.pt",
            [r"no data .*list train_aug", r"--coco .*coco2014", r"my.pt'.*nets.convert IN OUT"],
        ),
        (
            "--recipe coco_joint --data VOC --coco COCO",
            [
                r"list val",
                r"list train_aug",
                r"COCO/lists/trainval2014_voc.txt nor COCO/annotations/instances_trainval2014_voc.json.*"
                r"coco_list --data COCO --splits train2014 val2014 --out COCO/lists/trainval2014_voc.txt",
            ],
        ),
        (
            "--recipe parts_person --data VOC --init no.npz",
            [r"VOC holds no annotations.*download voc2010 pascal-part", r"no.npz"],
        ),
    ],
)
def test_each_kind_says_where_it_was_looked_for(
    refused: Callable[[str], list[str]], argv: str, wanted: list[str]
) -> None:
    found = refused(argv)[1:]
    assert len(found) == len(wanted)
    assert all(re.search(pattern, text) for pattern, text in zip(wanted, found, strict=True)), found


def test_packages_that_read_annotations(
    refused: Callable[[str], list[str]], toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = util.find_spec
    monkeypatch.setattr(
        train.checks.prerequisites, "find_spec", lambda name: None if name == "pycocotools" else find(name)
    )
    found = refused(
        f"--recipe coco_joint --data {toy} --train-list train --coco nowhere --stages.network.mixture.voc.split train"
    )
    assert "nowhere" in found[1]
    assert found[2] == "pycocotools is not installed, which reads the annotations; pip install -e '.[coco]'"
