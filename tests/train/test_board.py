"""What a run shows in TensorBoard, read back from its files."""

import io
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter

import train.steps.loop
import train.validation
from crfrnn import CRFRNN
from crfrnn.data import VOCSegmentation
from crfrnn.nets import build_model
from eval.scoring.metrics import Confusion
from tests.train.interruptions import events_older, interrupted_in
from train.board import curves
from train.board.overview import flat
from train.distributed import Processes
from train.interrupt import Stop
from train.recipes import RECIPES, Crf, Recipe, Stage
from train.run import main
from train.state import Run


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "tensors": 0}).Reload()


def sizes(log: EventAccumulator) -> dict[str, set[tuple[int, int]]]:
    """Of the pictures of every tag."""
    return {
        tag: {Image.open(io.BytesIO(event.encoded_image_string)).size for event in log.Images(tag)}
        for tag in log.Tags()["images"]
    }


def test_every_page_is_there(uninterrupted: Path) -> None:
    board_folder = uninterrupted / "tensorboard"
    assert {path.name for path in board_folder.iterdir()} == {"network", "joint", "joint-iterations", "overview"}
    joint = events(board_folder / "joint")
    scalars = set(joint.Tags()["scalars"])
    groups = ("trunk", "new layers", "last layer", "kernel weights", "compatibility")
    assert {
        "1 loss/training",
        "2 mean IoU [percent]/network alone",
        "2 mean IoU [percent]/CRF-RNN",
        "4 kernel weights, mean over labels/smoothness",
        "4 kernel weights, mean over labels/appearance",
        "5 bandwidths/smoothness, position [pixels]",
        "5 bandwidths/appearance, position [pixels]",
        "5 bandwidths/appearance, color [gray levels]",
        "6 compatibility/distance from its start in the stage [Frobenius norm]",
        "7 seconds per validated image/network",
        "7 seconds per validated image/CRF",
        "IoU by class [percent], CRF-RNN/background",
        "kernel weights by label, appearance/disk",
        "images per second",
        *(f"rate/{g}" for g in groups),
        *(f"gradient norm/{g}" for g in groups),
    } <= scalars
    confusion = "8 confusion matrix [percent of the true pixels]"
    sheets = "3 beliefs over iterations/val_00000"
    assert set(joint.Tags()["images"]) == {sheets, "6 compatibility/penalties", f"{confusion}/CRF-RNN"}
    assert [event.step for event in joint.Images(sheets)] == [10]
    network = events(board_folder / "network")
    assert set(network.Tags()["images"]) == {sheets, f"{confusion}/network alone"}
    assert [event.step for event in network.Images(sheets)] == [3, 6]
    assert not any("CRF" in tag or tag[0] in "456" for tag in network.Tags()["scalars"])
    assert not any("(" in tag for tag in scalars)  # which custom scalars do not draw


def test_loss_and_mean_iou_come_first(uninterrupted: Path) -> None:
    tags = sorted(events(uninterrupted / "tensorboard" / "joint").Tags()["scalars"])
    assert [tag.split("/")[0] for tag in tags[:3]] == ["1 loss", "2 mean IoU [percent]", "2 mean IoU [percent]"]


def test_one_step_counts_through_all_stages(uninterrupted: Path) -> None:
    network, joint = (events(uninterrupted / "tensorboard" / stage) for stage in ("network", "joint"))
    assert [event.step for event in network.Scalars("1 loss/training")] == [0, 1, 2, 3, 4, 5]
    assert [event.step for event in joint.Scalars("1 loss/training")] == [6, 7, 8, 9]
    for tag in ("images per second", "4 kernel weights, mean over labels/appearance", "rate/trunk"):
        assert [event.step for event in joint.Scalars(tag)] == [6, 7, 8, 9], tag
    assert [event.step for event in joint.Scalars("2 mean IoU [percent]/CRF-RNN")] == [10]


def test_no_picture_is_cut_off(uninterrupted: Path) -> None:
    for stage in ("network", "joint", "joint-iterations"):
        for tag, found in sizes(events(uninterrupted / "tensorboard" / stage)).items():
            assert max(max(size) for size in found) <= 900, tag


def test_the_overview_says_what_the_run_is(uninterrupted: Path) -> None:
    found = events(uninterrupted / "tensorboard" / "overview")
    command, recipe = (
        found.Tensors(f"{name}/text_summary")[-1].tensor_proto.string_val[0] for name in ("command", "recipe")
    )
    assert command.decode().strip().startswith("python -m train.run --data ")
    assert json.loads(recipe) == json.loads((uninterrupted / "recipe.json").read_text())
    (layout,) = found.Tensors("custom_scalars__config__")
    charts = Layout.FromString(layout.tensor_proto.string_val[0]).category[0].chart
    assert [chart.title.split(",")[0].split(" (")[0] for chart in charts] == [
        "loss",
        "mean IoU of the network alone and of the CRF-RNN",
        "kernel weights",
        "bandwidths",
        "distance of the compatibility from its start in the stage",
        "seconds per validated image",
    ]
    tags = events(uninterrupted / "tensorboard" / "joint").Tags()["scalars"]
    shown = [[tag for tag in tags if re.fullmatch(chart.multiline.tag[0], tag)] for chart in charts]
    assert [len(found) for found in shown] == [1, 2, 2, 3, 1, 2]


def test_hyper_parameters_have_a_trial_scores_and_defaults(uninterrupted: Path) -> None:
    found = events(uninterrupted / "tensorboard" / "overview")
    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = HParamsPluginData.FromString(content).session_start_info
    assert start.group_name == str(uninterrupted)
    assert start.hparams["joint.steps"].number_value == 4
    assert start.hparams["joint.momentum"].number_value == 0.9  # a default
    assert start.hparams["crf.theta_gamma"].number_value == 2
    tag = "final mean IoU [percent]/CRF-RNN, T = 5"
    scores = json.loads((uninterrupted / "scores.json").read_text())["scores"]
    (event,) = found.Scalars(tag)
    assert event.value == pytest.approx(scores["CRF-RNN, T = 5"]["mean_iou"])


def test_a_validation_is_over_the_classes_of_the_truth(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise one false pixel of another class would weigh as much as any class that is there."""
    dataset = VOCSegmentation(toy, "val")
    found = Confusion(dataset.classes)
    truth = torch.arange(2).repeat_interleave(50)[None]
    labels = truth.clone()
    labels[0, :10], labels[0, 99] = 1, 5
    found.update(labels, truth)
    monkeypatch.setattr(train.validation, "confusions", lambda *_, **__: {"network alone": found})
    run = Run(Recipe(stages={}), dataset, dataset, tmp_path, torch.device("cpu"), Processes(), Stop())
    mean_iou, text = train.validation.validate(run, build_model("fcn-32s", 6, width=0.02), None, 1)
    # By hand: background 40 of 50; the other label 49 of 60.
    assert mean_iou == pytest.approx(50 * (40 / 50 + 49 / 60))
    assert text == f"mean IoU over 2 images  network alone {mean_iou:.2f}"


def test_beliefs_walk_through_the_iterations(uninterrupted: Path) -> None:
    found = events(uninterrupted / "tensorboard" / "joint-iterations")
    maps = [tag for tag in found.Tags()["images"] if tag.startswith("beliefs of val_00000/")]
    assert "beliefs of val_00000/background" in maps
    assert [event.step for event in found.Images(maps[0])] == list(range(11))
    curves = "mean field of val_00000"
    assert [event.step for event in found.Scalars(f"{curves}/largest change of a belief")] == list(range(1, 11))
    for name in ("free energy per pixel", "mean IoU"):
        assert [event.step for event in found.Scalars(f"{curves}/{name}")] == list(range(11))


def test_sheets_are_there_before_the_end(arguments: Callable, tmp_path: Path) -> None:
    """The run is stopped in the step after its first validation."""
    with interrupted_in(4):
        main(arguments(tmp_path / "run"))
    log = events(tmp_path / "run" / "tensorboard" / "network")
    assert [event.step for event in log.Images("3 beliefs over iterations/val_00000")] == [3]
    assert [event.step for event in log.Scalars("2 mean IoU [percent]/network alone")] == [3]


@pytest.mark.usefixtures("_no_pictures")
def test_a_resumed_run_has_every_step_once(
    arguments: Callable, tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by a signal right after a validation, then in a step that comes again."""
    out = tmp_path / "run"
    validate = train.steps.loop.validate

    def stop_after(run: Run, *rest: Any) -> tuple[float, str]:
        found = validate(run, *rest)
        run.stop.number = signal.SIGTERM
        return found

    with monkeypatch.context() as patch:
        patch.setattr(train.steps.loop, "validate", stop_after)
        assert main(arguments(out)) == 128 + signal.SIGTERM
    events_older(out, 1)
    with interrupted_in(3):
        main([*arguments(out), "--resume"])
    events_older(out, 2)
    assert main([*arguments(out), "--resume"]) == 0
    for folder, tag in (
        ("network", "2 mean IoU [percent]/network alone"),
        ("joint", "1 loss/training"),
        ("overview", "recipe/text_summary"),
    ):
        wanted, found = (steps(run / "tensorboard" / folder) for run in (uninterrupted, out))
        assert tag in found
        assert {tag: wanted[tag] for tag in found} == found


def steps(folder: Path) -> dict[str, list[int]]:
    """Of every tag, as TensorBoard's server finds them."""
    log = plugin_event_accumulator.EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    return {tag: [event.step for event in log.Tensors(tag)] for tag in log.Tags()["tensors"]}


def test_the_distance_of_the_compatibility_is_that_from_its_start(tmp_path: Path) -> None:
    crf = CRFRNN(2)
    start = crf.cell.compatibility.detach().clone()
    with torch.no_grad(), SummaryWriter(str(tmp_path)) as writer:
        crf.cell.compatibility += torch.tensor([[3.0, 0.0], [0.0, -4.0]])
        curves.write_parameters(writer, crf, start, 7)
    tag = "6 compatibility/distance from its start in the stage [Frobenius norm]"
    (event,) = events(tmp_path).Scalars(tag)
    assert (event.step, event.value) == (7, 5.0)


def test_hyper_parameters_are_all_that_may_change_what_is_learned() -> None:
    stage = Stage(steps=3, batch_size=2, lr=0.5, trains="crf", freeze=("conv1",), save_every=7)
    found = flat(Recipe(stages={"first": stage}, crf=Crf(theta_beta=4.0), width=0.5, workers=9))
    assert {
        "first.steps": 3, "first.lr": 0.5, "first.trains": "crf", "first.freeze": "('conv1',)", "first.momentum": 0.9,
        "crf.theta_beta": 4.0, "crf.theta_alpha": 160.0, "width": 0.5, "input_side": "None",
        "dense_crf.num_iterations": 10,
    }.items() <= found.items()  # fmt: skip
    assert not any("every" in name or "workers" in name for name in found)
    for recipe in RECIPES.values():
        assert flat(recipe)
