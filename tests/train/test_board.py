"""What a run shows in TensorBoard, read back from its files."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from train import board
from train.recipes import Crf, Recipe, Stage


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0}).Reload()


def test_every_page_is_there(uninterrupted: Path) -> None:
    board_folder = uninterrupted / "tensorboard"
    assert {path.name for path in board_folder.iterdir()} == {"network", "joint", "joint-iterations", "hparams"}
    joint = events(board_folder / "joint")
    scalars = set(joint.Tags()["scalars"])
    groups = ("trunk", "new layers", "last layer", "kernel weights", "compatibility")
    assert {
        "loss",
        "images per second",
        *(f"rate/{g}" for g in groups),
        *(f"gradient norm/{g}" for g in groups),
    } <= scalars
    assert {"kernel weight/smoothness", "kernel weight/appearance", "bandwidth/smoothness, position"} <= scalars
    assert {"bandwidth/appearance, position", "bandwidth/appearance, guide"} <= scalars
    assert {"mean IoU/network", "mean IoU/CRF-RNN", "per-class IoU of CRF-RNN/background"} <= scalars
    assert "kernel weight of appearance/disk" in scalars
    assert [event.step for event in joint.Scalars("loss")] == [0, 1, 2, 3]
    images = set(joint.Tags()["images"])
    assert images == {"compatibility", "panels/val_00000", "panels/val_00001"}
    assert "final mean IoU/CRF-RNN, T = 5" in events(board_folder / "hparams").Tags()["scalars"]
    content = events(board_folder / "hparams").SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"joint.last_layer_multiplier" in content


def test_beliefs_walk_through_the_iterations(uninterrupted: Path) -> None:
    found = events(uninterrupted / "tensorboard" / "joint-iterations")
    maps = [tag for tag in found.Tags()["images"] if tag.startswith("beliefs of val_00000/")]
    assert "beliefs of val_00000/background" in maps
    assert [event.step for event in found.Images(maps[0])] == list(range(11))
    curves = "mean field of val_00000"
    assert [event.step for event in found.Scalars(f"{curves}/largest change of a belief")] == list(range(1, 11))
    for name in ("free energy per pixel", "mean IoU"):
        assert [event.step for event in found.Scalars(f"{curves}/{name}")] == list(range(11))


def test_hparams_are_what_sets_a_recipe_apart() -> None:
    stage = Stage(steps=3, batch_size=2, lr=0.5, trains="crf", freeze=("conv1",), save_every=7)
    recipe = Recipe(stages={"first": stage}, crf=Crf(theta_beta=4.0), width=0.5, workers=9)
    assert board.hparams(recipe) == {
        "first.steps": 3, "first.batch_size": 2, "first.lr": 0.5, "first.trains": "crf", "first.freeze": "('conv1',)",
        "crf.theta_beta": 4.0, "width": 0.5,
    }  # fmt: skip
