"""What would end a run late ends it before its first step, and leaves no folder behind."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from crfrnn.data import VOCSegmentation, write_labels
from crfrnn.nets import load_checkpoint
from train.checks import check_images
from train.options import parse
from train.run import main
from train.steps.loop import Training


@pytest.fixture(autouse=True)
def _no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(*args: object) -> None:
        pytest.fail("a step was taken")

    monkeypatch.setattr(Training, "step", step)


@pytest.fixture
def refused(
    arguments: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """The line with which a run, and a dry run likewise, is refused."""

    def ask(*more: str, out: Path = tmp_path / "run") -> str:
        before = sorted(tmp_path.rglob("*"))
        lines = []
        for dry in ([], ["--dry-run"]):
            assert main(arguments(out, *more, *dry)) == 2
            lines.append(capsys.readouterr().err.splitlines()[-1].replace("/dry-run", ""))
        assert sorted(tmp_path.rglob("*")) == before
        assert len(set(lines)) == 1
        return lines[0]

    return ask


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--stages.joint.network resnet", "there is no network 'resnet'; the networks are deeplab,"),
        ("--stages.joint.network fcn-8s", "fcn-8s, which cannot begin from deeplab-largefov of stage 'network'"),
        ("--stages.joint.freeze conv9", "--stages.joint.freeze has 'conv9', but no layer's name begins so; wanted some of "),
        ("--stages.network.freeze conv fc", "--stages.network.freeze leaves nothing to learn"),
        ("--stages.joint.accumulate 3", "--stages.joint.batch-size is 2; wanted a multiple of 3: the processes (1) times"),
        ("--stages.joint.crop None", "--stages.joint.crop is None, so images keep their sizes, but a pass has 2 of them"),
        ("--stages.joint.start crf", "--stages.joint.start is 'crf'; wanted one of the stages before it (network)"),
        ("--belief-labels disk fish", "--belief-labels has 'fish'; wanted some of the labels of"),
        ("--only joint", "stage 'joint' begins where 'network' ends, and there is no"),
        ("--init nowhere.npz", "nowhere.npz"),
        ("--only joint --init nowhere.pt", "nowhere.pt"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_later_stage_is_said_first(refused: Callable[..., str], flags: str, message: str) -> None:
    assert message in refused(*flags.split())


@pytest.fixture
def data(toy: Path, tmp_path: Path) -> Path:
    return shutil.copytree(toy, tmp_path / "data")


@pytest.mark.parametrize("name", ["train_00005", "val_00001"])
def test_a_label_beyond_the_classes_is_found_in_either_list(refused: Callable[..., str], data: Path, name: str) -> None:
    mask = data / "SegmentationClass" / f"{name}.png"
    write_labels(mask, torch.full((48, 56), 77))
    assert f"{mask} holds the label 77" in refused("--data", str(data))


def test_a_damaged_photograph_is_found(refused: Callable[..., str], data: Path) -> None:
    photo = data / "JPEGImages" / "train_00003.jpg"
    photo.write_bytes(photo.read_bytes()[:300])
    assert f"{photo} cannot be decoded" in refused("--data", str(data), "--workers", "2")


def test_each_process_reads_its_share(arguments: Callable, data: Path, tmp_path: Path) -> None:
    """Of eight images, the second process of two reads those with odd numbers."""
    _, options = parse(arguments(tmp_path / "run"))
    sets = [VOCSegmentation(data, name) for name in ("train", "val")]
    read: list[str] = []
    for dataset in sets:
        dataset.__class__ = type(
            "Noted",
            (VOCSegmentation,),
            {"__getitem__": lambda self, i: (read.append(self.names[i]), VOCSegmentation.__getitem__(self, i))[1]},
        )
    group = SimpleNamespace(rank=1, world=2, is_main=False)
    run: Any = SimpleNamespace(recipe=options.recipe, dataset=sets[0], validation=sets[1], sets={}, group=group)
    check_images(run, ["network", "joint"])
    assert sorted(read) == ["train_00001", "train_00003", "train_00005", "val_00001"]


def test_a_folder_is_no_file(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        assert f"{tmp_path / 'file'} is a file, so {out} cannot be a folder" in refused(out=out)


def test_a_folder_can_be_written_to(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert f"{tmp_path} cannot be written to" in refused()


def test_the_disk_has_room_for_the_checkpoints(
    refused: Callable[..., str], arguments: Callable, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First a byte is missing of what the tensors of a finished run take, its largest file twice; then it is there."""
    sizes = {path.name: tensor_bytes(load_checkpoint(path)) for path in uninterrupted.glob("*.pt")}
    assert max(sizes.values()) == sizes["last.pt"]
    needed = sum(sizes.values()) + sizes["last.pt"]
    free = needed - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert "the checkpoints of this run take 0.00 GiB" in refused()
    assert "GiB" in refused("--stages.network.steps", "100000000", "--stages.network.keep-every", "1")
    free = needed
    with pytest.raises(pytest.fail.Exception, match="a step was taken"):
        main(arguments(uninterrupted.parent / "room"))


def tensor_bytes(value: object) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors(value))


def tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from tensors(inner)
