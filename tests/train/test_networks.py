"""Networks beyond VGG-16 through a whole run: published weights, a stage of the network, one with the CRF, scores."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import eval.beliefs
import eval.compare
import eval.run
import eval.segment
from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.data import VOC_CLASSES
from crfrnn.nets import (
    NetworkFunction,
    SegmentationModel,
    build_model,
    load_checkpoint,
    model_from_checkpoint,
    save_checkpoint,
)
from tests.train.interruptions import interrupted_in
from train.recipes import Stage
from train.run import main
from train.steps.loss import StageLoss
from train.steps.memory import Memory
from train.steps.optimizer import build_optimizer, clip_gradients

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


def test_runs_that_share_a_memory_compute_the_trunk_once(arguments: Callable, tmp_path: Path) -> None:
    published(tmp_path / "published.pt")
    whole = """--stages.network.crop None --stages.network.accumulate 2 --stages.network.as-tested
        --stages.network.no-mirror --stages.network.freeze features. --stages.network.reset logits
        --stages.network.trunk-memory 1 --stages.network.validate-every 0 --val-images 1 --only network"""
    more = ["--network", MOBILENET, "--init", str(tmp_path / "published.pt"), *whole.split()]
    assert main(arguments(tmp_path / "alone", *more, "--seed", "1")) == 0
    memory = Memory()
    assert main(arguments(tmp_path / "first", *more), memory) == 0
    assert len(memory.kept) == 8  # six images of the training list, two of the validation list
    assert main(arguments(tmp_path / "second", *more, "--seed", "1"), memory) == 0
    assert len(memory.kept) == 8
    scores, wanted = (json.loads((tmp_path / run / "scores.json").read_text()) for run in ("second", "alone"))
    assert scores["scores"] == wanted["scores"]
    tensors = [load_checkpoint(tmp_path / run / "network.pt")["model"] for run in ("second", "alone")]
    assert all(torch.equal(tensor, tensors[1][name]) for name, tensor in tensors[0].items())


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


def few_steps(function: str) -> tuple[SegmentationModel, dict[str, torch.Tensor], list[float]]:
    """Three joint steps of a network of one's own on one batch: the model, its tensors before, and the losses."""
    crf = CRFRNN(3, [smoothness_kernel(), appearance_kernel(theta_alpha=20, theta_beta=20)], num_iterations=2)
    model = build_model(NetworkFunction(f"tests.own_networks:{function}"), 3, crf)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    stage = Stage(steps=3, batch_size=2, lr=0.0001, trains="joint")
    loss, optimizer = StageLoss(model, stride=4).train(), build_optimizer(model, stage)
    labels = torch.randint(3, (2, 1, 1)).expand(2, 33, 41)
    images = 80.0 * labels[:, None].expand(2, 3, 33, 41) + 20 * torch.rand(2, 3, 33, 41)
    known = torch.ones(2, 255, dtype=torch.bool)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        total = loss(images, labels, known, known, torch.arange(2), torch.zeros(2)).sum() / (2 * 9 * 11)
        total.backward()
        clip_gradients(optimizer, 10.0)
        optimizer.step()
        losses.append(float(total.detach()))
    return model, before, losses


@pytest.mark.parametrize(
    ("function", "first", "last"),
    [
        ("lraspp", "backbone.0.0.weight", "classifier.low_classifier.weight"),
        ("deeplabv3", "backbone.conv1.weight", "classifier.4.weight"),
        ("unet", "encoder.features.0.0.weight", "segmentation_head.0.weight"),
    ],
)
def test_networks_of_others_take_joint_steps(function: str, first: str, last: str) -> None:
    model, before, losses = few_steps(function)
    assert losses[2] < losses[0]
    after = model.state_dict()
    for name in (f"network.module.{first}", f"network.module.{last}", "crf.cell.compatibility"):
        assert not torch.equal(after[name], before[name])
    statistics = [name for name in before if "running" in name]
    assert len(statistics) > 20
    assert all(torch.equal(after[name], before[name]) for name in statistics)
    assert model.network.family(f"module.{first}") == "trunk"
    assert model.network.family(f"module.{last}") == "last layer"


NET = """
from tests.own_networks import tiny


def net(num_labels):
    return tiny(num_labels)


wide = net
"""


@pytest.fixture
def net(tmp_path: Path) -> str:
    """--network for a file of the user's."""
    (tmp_path / "mine.py").write_text(NET)
    return f"{tmp_path}/mine.py:net"


def test_a_network_of_ones_own_from_training_to_pictures(
    arguments: Callable, toy: Path, tmp_path: Path, net: str, weights: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    more = ["--stages.joint.freeze", "backbone.0", "--stages.joint.ema", "0.5"]
    assert main(arguments(out, "--network", net, *more)) == 0
    network, joint = weights(out / "network.pt"), weights(out / "joint.pt")
    kept, learned = "network.module.backbone.0.weight", "network.module.head.weight"
    assert torch.equal(network[kept], joint[kept])
    assert not torch.equal(network[learned], joint[learned])
    content = load_checkpoint(out / "joint.pt")
    assert content["architecture"]["name"] == "mine.py:net"
    checkpoint, photo = str(out / "joint.pt"), str(toy / "JPEGImages" / "val_00000.jpg")
    commands: dict[str, tuple[Callable, list[str]]] = {
        "run": (eval.run.main, ["--checkpoint", checkpoint, "--data", str(toy), "--iterations", "2"]),
        "segment": (eval.segment.main, [photo, "--checkpoint", checkpoint]),
        "beliefs": (eval.beliefs.main, [photo, "--label", "disk", "--checkpoint", checkpoint, "--iterations", "1"]),
        "compare": (eval.compare.main, ["--checkpoints", checkpoint, "--data", str(toy), "--count", "1"]),
    }
    for name, (command, argv) in commands.items():
        capsys.readouterr()
        argv += ["--out", str(tmp_path / f"{name}-out")]
        assert command(argv) == 2
        said = capsys.readouterr().err
        assert "holds the network mine.py:net: code of yours" in said
        assert "wanted --network mine.py:net" in said
        assert said.count("\n") == 1
        assert command([*argv, "--network", net.replace(":net", ":wide")]) == 2
        said = capsys.readouterr().err
        assert f"{tmp_path}/mine.py:wide" in said
        assert "the network mine.py:net, not" in said or "the checkpoints hold mine.py:net" in said
        assert command([*argv, "--network", net]) == 0
        assert list((tmp_path / f"{name}-out").iterdir())


def test_a_run_is_continued_with_its_network_named_again(
    arguments: Callable, tmp_path: Path, net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    first, *others = arguments(out, "--network", net, "--only", "network"), ["--resume", "--out", str(out)]
    assert main(first) == 0
    again = ["--data", first[1], *others[0]]
    assert main(again) == 2
    assert f"the recipe has the network {net}: code of yours, which runs only where" in capsys.readouterr().err
    assert main(["--recipe", str(out / "recipe.json"), "--data", first[1], "--out", str(tmp_path / "other")]) == 2
    assert f"add --network {net}" in capsys.readouterr().err
    assert main([*again, f"--network={net}"]) == 0
    assert (out / "joint.pt").exists()


def test_an_interruption_changes_nothing(arguments: Callable, tmp_path: Path, net: str, weights: Callable) -> None:
    """Statistics of batch normalization included."""
    more = ["--network", net, "--batch-norm", "batch"]
    assert main(arguments(tmp_path / "whole", *more)) == 0
    for step in (3, 8):
        with interrupted_in(step):
            main(arguments(tmp_path / f"run{step}", *more))
        assert main(arguments(tmp_path / f"run{step}", *more, "--resume")) == 0
        for name in ("network.pt", "joint.pt"):
            got, wanted = weights(tmp_path / f"run{step}" / name), weights(tmp_path / "whole" / name)
            assert [each for each in wanted if not torch.equal(got[each], wanted[each])] == []


def test_other_labels_and_other_networks(
    arguments: Callable, tmp_path: Path, net: str, capsys: pytest.CaptureFixture[str], weights: Callable
) -> None:
    model = build_model(NetworkFunction(net), 4)
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    architecture = {"name": "mine.py:net", "num_labels": 4}
    save_checkpoint(tmp_path / "four.pt", model, architecture=architecture, classes=[*"abcd"])
    more = [
        "--network",
        net,
        "--init",
        str(tmp_path / "four.pt"),
        "--only",
        "network",
        "--stages.network.freeze",
        "backbone",
    ]
    assert main(arguments(tmp_path / "run", *more)) == 0
    got = weights(tmp_path / "run" / "network.pt")
    assert bool((got["network.module.backbone.0.weight"] == 0.5).all())
    assert got["network.module.head.weight"].shape[0] == 6
    capsys.readouterr()
    for flags, message in (
        (["--init", str(tmp_path / "four.pt")], "four.pt' holds the network mine.py:net: code of yours"),
        (["--network", net, "--init", "imagenet"], "the network is mine.py:net; wanted a checkpoint"),
        (["--network", f"{tmp_path}/none.py:net"], "there is no file"),
        (["--network", net.replace(":net", ":nets")], "mine.py has no function nets; it has net, tiny, wide"),
        (["--stages.joint.network", net], "mine.py:net, which cannot begin from deeplab-largefov of stage 'network'"),
        (["--network", net, "--stages.network.freeze", "body"], "wanted some of backbone, head"),
        (["--network", "tests.own_networks:Strict", "--only", "network"], "does not take an image of 33 x 33 pixels"),
    ):
        assert main(arguments(tmp_path / "refused", *flags)) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "refused").exists()


def test_batch_normalization_learns_where_asked(
    arguments: Callable, tmp_path: Path, net: str, weights: Callable
) -> None:
    before = build_model(NetworkFunction(net), 6).state_dict()
    statistics = [name for name in before if "running" in name]
    only = ["--network", net, "--only", "network"]
    for name, flags in (("fixed", []), ("batch", ["--batch-norm", "batch"])):
        assert main(arguments(tmp_path / name, *only, *flags)) == 0
        got = weights(tmp_path / name / "network.pt")
        assert all(torch.equal(got[each], before[each]) == (name == "fixed") for each in statistics)


def test_statistics_of_frozen_layers_stay(net: str) -> None:
    model = build_model(NetworkFunction(net), 3)
    model.network.module.backbone.requires_grad_(False)
    loss = StageLoss(model, 1, fixed_norms=False).train()
    assert not model.network.module.backbone[1].training
    model.network.module.backbone[1].requires_grad_(True)
    assert loss.train().model.network.module.backbone[1].training
    assert not loss.eval().model.network.module.backbone[1].training
