"""Training as a user runs it: stages, interruption and resumption, and what goes wrong."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from crfrnn.data import write_labels
from crfrnn.nets import build_model, load_checkpoint
from tests.csv_cells import cells
from tests.train.interruptions import interrupted_in
from train.distributed import Processes
from train.folder import free_folder
from train.options import Options
from train.recipes import RECIPES
from train.run import main
from train.stages import folder
from train.steps.loss import StageLoss

pytestmark = pytest.mark.usefixtures("_no_pictures")


def test_a_run_leaves_everything_it_promises(uninterrupted: Path, weights: Callable) -> None:
    names = {path.name for path in uninterrupted.iterdir()}
    assert names == {
        "network.pt", "joint.pt", "network-best.pt", "joint-best.pt", "last.pt", "recipe.json", "log.txt", "scores.json",
        "scores-counts.npz", "scores.txt", "pictures.png", "tensorboard",
    }  # fmt: skip
    scores = json.loads((uninterrupted / "scores.json").read_text())
    assert list(scores["scores"]) == [
        "network alone", "network + dense CRF", "CRF-RNN, untrained, T = 5", "CRF-RNN, untrained, T = 10",
        "CRF-RNN, T = 5", "CRF-RNN, T = 10",
    ]  # fmt: skip
    assert 0 < scores["seconds"]["network"] < 600
    assert scores["recipe"]["stages"]["network"]["steps"] == 6
    network, joint = weights(uninterrupted / "network.pt"), weights(uninterrupted / "joint.pt")
    assert {name for name in joint if name not in network} == {
        "crf.cell.kernel_weights", "crf.cell.compatibility", "crf.log_bandwidth_scales.0", "crf.log_bandwidth_scales.1",
        "crf.initial_bandwidths_0", "crf.initial_bandwidths_1",
    }  # fmt: skip
    moved = [name for name in network if not torch.equal(network[name], joint[name])]
    assert "network.conv1_1.weight" in moved
    assert not torch.equal(joint["crf.cell.compatibility"], 1 - torch.eye(6))
    log = (uninterrupted / "log.txt").read_text().splitlines()
    # epochs of three steps, and validations after steps 3 and 6 of the first stage and at the end of the second
    assert [line.split("  ")[:2] for line in log] == [
        ["network", "step 3"], ["network", "step 3"], ["network", "step 6"], ["network", "step 6"],
        ["joint", "step 3"], ["joint", "step 4"], ["joint", "step 4"],
    ]  # fmt: skip


@pytest.mark.parametrize("step", [4, 9])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    arguments: Callable, assert_same_run: Callable, tmp_path: Path, uninterrupted: Path, step: int
) -> None:
    """Interrupted in the middle of a stage, after a step that no checkpoint holds yet."""
    out = tmp_path / "run"
    with interrupted_in(step):
        main(arguments(out))
    assert main(["--resume", "--out", str(out), "--data", arguments(out)[1]]) == 0  # the recipe is that of the folder
    assert_same_run(out, uninterrupted)


def test_a_stage_of_the_crf_alone_leaves_the_network_as_it_was(
    arguments: Callable, tmp_path: Path, uninterrupted: Path, weights: Callable
) -> None:
    more = ["--only", "joint", "--init", str(uninterrupted / "network.pt"), "--stages.joint.trains", "crf"]
    assert main(arguments(tmp_path / "run", *more, "--table", str(tmp_path / "table.csv"))) == 0
    rows = json.loads((tmp_path / "run" / "scores.json").read_text())["scores"]
    assert [row[:2] for row in cells(tmp_path / "table.csv")[1:]] == [
        [name, f"{row['mean_iou']:.2f}"] for name, row in rows.items()
    ]
    assert cells(tmp_path / "table-classes.csv")[0] == ["IoU, percent", *rows]
    before, after = weights(uninterrupted / "network.pt"), weights(tmp_path / "run" / "joint.pt")
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert not torch.equal(after["crf.cell.compatibility"], 1 - torch.eye(6))
    alone = json.loads((tmp_path / "run" / "scores.json").read_text())["scores"]
    assert list(alone) == ["CRF parameters alone, T = 5", "CRF parameters alone, T = 10"]
    # With its network in the same run it is scored on that one's unaries, which are the same.
    assert main(arguments(tmp_path / "both", "--stages.joint.trains", "crf")) == 0
    both = json.loads((tmp_path / "both" / "scores.json").read_text())["scores"]
    assert len(both) == 6
    assert {name: both[name] for name in alone} == alone


def test_another_seed_gives_another_network(
    arguments: Callable, tmp_path: Path, uninterrupted: Path, weights: Callable
) -> None:
    assert main(arguments(tmp_path / "run", "--seed", "1", "--only", "network")) == 0
    got, wanted = weights(tmp_path / "run" / "network.pt"), weights(uninterrupted / "network.pt")
    assert not torch.equal(got["network.fc8.weight"], wanted["network.fc8.weight"])
    assert not (tmp_path / "run" / "joint.pt").exists()


def test_accumulated_passes_make_the_step_of_one_large_batch(
    arguments: Callable, tmp_path: Path, weights: Callable
) -> None:
    more = ["--only", "network", "--dropout", "0", "--stages.network.batch-size", "4", "--stages.network.steps", "3"]
    assert main(arguments(tmp_path / "whole", *more)) == 0
    assert main(arguments(tmp_path / "parts", *more, "--stages.network.accumulate", "4")) == 0
    whole, parts = (weights(tmp_path / name / "network.pt") for name in ("whole", "parts"))
    start = build_model(num_labels=6, width=0.03).state_dict()
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(whole["network.fc8.weight"], start["network.fc8.weight"], rtol=1e-2)


def test_averaged_weights_follow_the_recursion(arguments: Callable, tmp_path: Path, weights: Callable) -> None:
    """a <- d a + (1 - d) w from the first weights on, over weights that checkpoints keep."""
    more = ["--only", "network", "--stages.network.steps", "3", "--stages.network.keep-every", "1"]
    assert main(arguments(tmp_path / "run", *more, "--stages.network.ema", "0.25")) == 0
    steps = [weights(tmp_path / "run" / f"network-{i}.pt")["network.fc8.weight"] for i in (1, 2, 3)]
    expected = 0.25 * (0.25 * steps[0] + 0.75 * steps[1]) + 0.75 * steps[2]
    result = weights(tmp_path / "run" / "network.pt")["network.fc8.weight"]
    torch.testing.assert_close(result, expected)
    assert not torch.equal(result, steps[2])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_autocast_trains_and_keeps_float32_weights(
    arguments: Callable, tmp_path: Path, precision: str, weights: Callable, uninterrupted: Path
) -> None:
    assert main(arguments(tmp_path / "run", "--autocast", precision)) == 0
    got = weights(tmp_path / "run" / "joint.pt")
    assert {tensor.dtype for tensor in got.values()} == {torch.float32}
    epoch, expected = (
        float(re.search(r"loss (\S+)", (out / "log.txt").read_text())[1]) for out in (tmp_path / "run", uninterrupted)
    )
    assert epoch == pytest.approx(expected, rel=0.01)
    full = weights(uninterrupted / "joint.pt")
    assert not torch.equal(got["network.fc6.weight"], full["network.fc6.weight"])


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_with_the_step_and_the_images(
    arguments: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    forward = StageLoss.forward
    steps = 0

    def diverge(self: StageLoss, *args: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        loss = forward(self, *args)
        if steps < 4:
            return loss
        return loss * float("nan") if what == "loss" else loss + (loss - loss.detach()).abs().sqrt()

    monkeypatch.setattr(StageLoss, "forward", diverge)
    assert main(arguments(tmp_path / "run")) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "is nan in step 3" in message
    assert "train_0000" in message
    last = load_checkpoint(tmp_path / "run" / "last.pt")
    assert last["training"]["step"] == 3  # written before the validation that follows
    assert all(tensor.isfinite().all() for tensor in last["model"].values())


def test_frozen_layers_keep_their_weights(arguments: Callable, tmp_path: Path, weights: Callable) -> None:
    more = ["--stages.network.freeze", "conv1", "conv2", "--only", "network"]
    assert main(arguments(tmp_path / "run", *more)) == 0
    got = weights(tmp_path / "run" / "network.pt")
    torch.manual_seed(0)
    start = build_model(num_labels=6, width=0.03).state_dict()
    changed = {name.split(".")[1] for name in got if not torch.equal(got[name], start[name])}
    assert "conv1_1" not in changed
    assert "conv2_2" not in changed
    assert {"conv3_1", "fc8"} <= changed


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "already holds a run"),
        (("--resume", "--stages.network.lr", "0.5"), "stages.network.lr differ"),
    ],
)
def test_an_existing_run_is_not_overwritten(
    arguments: Callable, uninterrupted: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    before = (uninterrupted / "network.pt").read_bytes()
    assert main(arguments(uninterrupted, *more)) == 2
    assert message in capsys.readouterr().err
    assert (uninterrupted / "network.pt").read_bytes() == before


def test_missing_things_are_named(arguments: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv, message in (
        (["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "run")], "nowhere"),
        (arguments(tmp_path / "run", "--init", str(tmp_path / "no.npz")), "no.npz"),
        (arguments(tmp_path / "run2", "--only", "joint"), "there is no"),
        (arguments(tmp_path / "run2", "--only", "second"), "the stages are network, joint"),
        (arguments(tmp_path / "run3", "--stages.network.freeze", "conv9"), "conv9"),
        (arguments(tmp_path / "run4", "--stages.network.accumulate", "3"), "--stages.network.batch-size is 2"),
        (arguments(tmp_path / "run5", "--stages.joint.start", "crf"), "'crf'; wanted one of the stages"),
        (["--resume"], "--out"),
        (["--recipe", "resnet"], "there is no recipe 'resnet'"),
    ):
        assert main(argv) == 2
        assert message in capsys.readouterr().err


def test_commands_beside_one_another_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with folder("toy", Options(recipe=RECIPES["toy"]), Processes()) as first:
        assert [free_folder("toy") for _ in range(2)] == [Path("runs/toy-2"), Path("runs/toy-3")]
        (first / "last.pt").touch()
    assert main(["--init", "there-is-no-such.npz"]) == 2
    assert "there-is-no-such.npz" in capsys.readouterr().err
    # That of the command that failed, toy-4, is gone.
    assert sorted(path.name for path in Path("runs").glob("toy-?")) == ["toy-1", "toy-2", "toy-3"]


def test_a_dry_run_leaves_one_of_everything(
    arguments: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(tmp_path / "run", "--dry-run")) == 0
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["dry-run"]
    names = {path.name for path in (tmp_path / "run" / "dry-run").iterdir()}
    assert {"network-2.pt", "joint-2.pt", "joint.pt", "scores.json", "tensorboard", "log.txt"} <= names
    text = capsys.readouterr().out
    assert "train_00005" in text
    assert "56 x 48" in text
    assert "GiB" in text
    assert main(arguments(tmp_path / "run", "--dry-run")) == 0  # a second one takes the place of the first


def test_a_label_beyond_the_classes_ends_a_run_that_reads_in_another_process(
    arguments: Callable, toy: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(toy, tmp_path / "data")
    for mask in data.rglob("SegmentationClass/train_*.png"):
        write_labels(mask, torch.full((48, 56), 77, dtype=torch.uint8))
    out = tmp_path / "run"
    command = [sys.executable, "-m", "train.run", *arguments(out, "--data", str(data), "--workers", "1")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[2])
    assert ended.returncode == 2
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("train.run: ")
    assert "77" in last
    assert "Traceback" not in ended.stderr
    assert main(arguments(out, "--only", "network")) == 0  # nothing was trained: the folder is free
