"""Training as a user runs it: two stages, interruption and resumption, and what goes wrong."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

import train.loop
from crfrnn.data import make_toy
from crfrnn.nets import load_checkpoint
from train.run import main


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("data") / "toy", num_train=6, num_val=2, size=(48, 56))


def arguments(toy: Path, out: Path, *more: str) -> list[str]:
    """A run of six and four steps on crops of 33 pixels."""
    text = f"""--data {toy} --out {out} --width 0.03 --workers 0
        --network-stage.steps 6 --network-stage.batch-size 2 --network-stage.crop 33 --network-stage.save-every 2
        --joint-stage.steps 4 --joint-stage.batch-size 2 --joint-stage.crop 33 --joint-stage.save-every 2"""
    return [*text.split(), *more]


def weights(path: Path) -> dict[str, Tensor]:
    return load_checkpoint(path)["model"]


@pytest.fixture(scope="module")
def uninterrupted(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert main(arguments(toy, out)) == 0
    return out


def test_a_run_leaves_everything_it_promises(uninterrupted: Path) -> None:
    names = {path.name for path in uninterrupted.iterdir()}
    assert names == {
        "network.pt", "joint.pt", "last.pt", "recipe.json", "scores.json", "scores.txt", "pictures.png", "tensorboard"
    }  # fmt: skip
    scores = json.loads((uninterrupted / "scores.json").read_text())
    assert list(scores["scores"]) == ["network alone", "network + dense CRF", "CRF-RNN, T = 5", "CRF-RNN, T = 10"]
    assert scores["recipe"]["network_stage"]["steps"] == 6
    assert {path.name for path in (uninterrupted / "tensorboard").iterdir()} == {"network", "joint"}
    network, joint = weights(uninterrupted / "network.pt"), weights(uninterrupted / "joint.pt")
    assert {name for name in joint if name not in network} == {
        "crf.cell.kernel_weights", "crf.cell.compatibility", "crf.log_bandwidth_scales.0", "crf.log_bandwidth_scales.1",
        "crf.initial_bandwidths_0", "crf.initial_bandwidths_1",
    }  # fmt: skip
    moved = [name for name in network if not torch.equal(network[name], joint[name])]
    assert "network.conv1_1.weight" in moved
    assert not torch.equal(joint["crf.cell.compatibility"], 1 - torch.eye(6))


@pytest.mark.parametrize("interrupted_in", [4, 9])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    toy: Path, tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch, interrupted_in: int
) -> None:
    """Interrupted in the middle of a stage, after a step that no checkpoint holds yet."""
    steps = 0
    clip = train.loop.clip_gradients

    def interrupt(*args: object) -> object:
        nonlocal steps
        steps += 1
        if steps == interrupted_in:
            raise KeyboardInterrupt
        return clip(*args)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(train.loop, "clip_gradients", interrupt)
        with pytest.raises(KeyboardInterrupt):
            main(arguments(toy, out))
    torch.rand(17)  # whatever happened to the generator meanwhile
    assert main(arguments(toy, out, "--resume")) == 0
    for name in ("network.pt", "joint.pt"):
        got, wanted = weights(out / name), weights(uninterrupted / name)
        assert got.keys() == wanted.keys()
        assert [key for key in wanted if not torch.equal(got[key], wanted[key])] == []


def test_another_seed_gives_another_network(toy: Path, tmp_path: Path, uninterrupted: Path) -> None:
    assert main(arguments(toy, tmp_path / "run", "--seed", "1", "--stages", "network")) == 0
    got, wanted = weights(tmp_path / "run" / "network.pt"), weights(uninterrupted / "network.pt")
    assert not torch.equal(got["network.fc8.weight"], wanted["network.fc8.weight"])
    assert not (tmp_path / "run" / "joint.pt").exists()


def test_a_non_finite_loss_stops_with_the_step_and_the_images(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loss = train.loop.stage_loss
    steps = 0

    def diverge(*args: object) -> Tensor:
        nonlocal steps
        steps += 1
        return loss(*args) * (float("nan") if steps == 4 else 1.0)

    monkeypatch.setattr(train.loop, "stage_loss", diverge)
    assert main(arguments(toy, tmp_path / "run")) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "nan in step 3" in message
    assert "train_0000" in message
    assert load_checkpoint(tmp_path / "run" / "last.pt")["training"]["step"] == 2


def test_frozen_layers_keep_their_weights(toy: Path, tmp_path: Path, uninterrupted: Path) -> None:
    assert main(arguments(toy, tmp_path / "run", "--freeze", "conv1", "conv2", "--stages", "network")) == 0
    got = weights(tmp_path / "run" / "network.pt")
    torch.manual_seed(0)
    from crfrnn.nets import build_model

    start = build_model(num_labels=6, width=0.03).state_dict()
    changed = {name.split(".")[1] for name in got if not torch.equal(got[name], start[name])}
    assert "conv1_1" not in changed
    assert "conv2_2" not in changed
    assert {"conv3_1", "fc8"} <= changed


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "already holds a run"),
        (("--resume", "--network-stage.lr", "0.5"), "network_stage differ"),
    ],
)
def test_an_existing_run_is_not_overwritten(
    toy: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    before = (uninterrupted / "network.pt").read_bytes()
    assert main(arguments(toy, uninterrupted, *more)) == 2
    assert message in capsys.readouterr().err
    assert (uninterrupted / "network.pt").read_bytes() == before


def test_missing_things_are_named(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path / "nowhere", tmp_path / "run")) == 2
    assert "nowhere" in capsys.readouterr().err
    assert main(arguments(toy, tmp_path / "run", "--init", str(tmp_path / "no.npz"))) == 2
    assert "no.npz" in capsys.readouterr().err
    assert main(["--resume"]) == 2
    assert "--out" in capsys.readouterr().err
