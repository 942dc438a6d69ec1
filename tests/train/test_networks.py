"""Networks beyond VGG-16 through a whole run: published weights, a stage of the network, one with the CRF, scores."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crfrnn.data import VOC_CLASSES
from crfrnn.nets import build_model, model_from_checkpoint, save_checkpoint
from train.run import main

pytestmark = pytest.mark.usefixtures("_no_pictures")

MOBILENET = "deeplabv3-mobilenetv2"


def published(path: Path) -> dict[str, torch.Tensor]:
    """A narrow checkpoint as crfrnn.nets.convert makes one; returns its tensors."""
    architecture = {"name": MOBILENET, "num_labels": 21, "width": 0.03, "input_side": 513}
    model = build_model(**architecture)
    save_checkpoint(path, model, architecture=architecture, classes=list(VOC_CLASSES))
    return model.state_dict()


def test_mobilenet_trains_from_its_published_weights(arguments: Callable, tmp_path: Path, weights: Callable) -> None:
    before = published(tmp_path / "published.pt")
    out = tmp_path / "run"
    more = ["--network", MOBILENET, "--init", str(tmp_path / "published.pt"), "--input-side", "130"]
    frozen = ["--stages.network.freeze", "features.0.", "--stages.joint.freeze", "features", "--val-images", "1"]
    assert main(arguments(out, *more, *frozen)) == 0
    network, joint = weights(out / "network.pt"), weights(out / "joint.pt")
    first, last = "network.features.0.0.weight", "network.features.17.project.weight"
    assert torch.equal(network[first], before[first])
    assert not torch.equal(network[last], before[last])
    assert torch.equal(joint[last], network[last])
    assert not torch.equal(joint["network.logits.weight"], network["network.logits.weight"])
    assert not torch.equal(joint["crf.cell.compatibility"], 1 - torch.eye(6))
    model, _ = model_from_checkpoint(out / "joint.pt")
    assert model.input_side == 130
    assert len(json.loads((out / "scores.json").read_text())["scores"]) == 6


def test_weights_of_another_kind_are_refused(
    arguments: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published(tmp_path / "published.pt")
    vgg = build_model(num_labels=6, width=0.03)
    architecture = {"num_labels": 6, "width": 0.03}
    save_checkpoint(tmp_path / "vgg.pt", vgg, architecture=architecture, classes=[*"abcdef"])
    for flags, message in (
        (["--network", MOBILENET, "--init", "imagenet"], f"the network is {MOBILENET}; wanted a checkpoint"),
        (["--network", MOBILENET, "--init", str(tmp_path / "vgg.pt")], f"is not a stage before {MOBILENET}"),
        (["--init", str(tmp_path / "published.pt")], f"{MOBILENET} is not a stage before"),
        (["--network", MOBILENET, "--input-side", "3"], "--input-side is 3"),
    ):
        assert main(arguments(tmp_path / "run", *flags)) == 2
        assert message in capsys.readouterr().err
