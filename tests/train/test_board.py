"""What a run shows in TensorBoard, read back from its files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from crfrnn import CRFRNN, smoothness_kernel
from crfrnn.data import Sample
from crfrnn.nets import build_model
from train import board


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
    assert {"mean IoU/network", "mean IoU/CRF-RNN", "IoU of CRF-RNN/background"} <= scalars
    assert "kernel weight of appearance/disk" in scalars
    assert [event.step for event in joint.Scalars("loss")] == [0, 1, 2, 3]
    images = set(joint.Tags()["images"])
    assert images == {"compatibility", "panels/val_00000", "panels/val_00001"}
    assert "_hparams_/session_start_info" in events(board_folder / "hparams").Tags()["tensors"] or (
        "final mean IoU/CRF-RNN, T = 5" in events(board_folder / "hparams").Tags()["scalars"]
    )


def test_beliefs_walk_through_the_iterations(uninterrupted: Path) -> None:
    found = events(uninterrupted / "tensorboard" / "joint-iterations")
    maps = [tag for tag in found.Tags()["images"] if tag.startswith("beliefs of val_00000/")]
    assert "beliefs of val_00000/background" in maps
    assert [event.step for event in found.Images(maps[0])] == list(range(11))
    assert [event.step for event in found.Scalars("residual/val_00000")] == list(range(1, 11))


def test_belief_maps_and_energies_are_those_of_the_model(tmp_path: Path) -> None:
    model = build_model(num_labels=3, width=0.02, crf=CRFRNN(3, [smoothness_kernel(1.0, 0.7)], 2)).eval()
    torch.nn.init.normal_(model.network.fc8.weight)
    sample = Sample(torch.randint(256, (3, 12, 15), dtype=torch.uint8), torch.zeros(12, 15, dtype=torch.uint8), "a")
    with board.SummaryWriter(str(tmp_path)) as writer:
        board.write_iterations(writer, model, sample, ["x", "y", "z"], ["y"], 2)
    found = events(tmp_path)
    image = sample.image[None].float()
    with torch.no_grad():
        states = list(model.crf.iterate(model.unary(image), image, num_iterations=2))
    for event, state in zip(found.Images("beliefs of a/y"), states, strict=True):
        (tmp_path / "belief.png").write_bytes(event.encoded_image_string)
        green = torch.from_numpy(np.array(Image.open(tmp_path / "belief.png"))[..., 1].astype(int))
        belief = state.beliefs[0, 1]
        i, j = divmod(int(belief.argmax()), 15), divmod(int(belief.argmin()), 15)
        assert green[i] > green[j]  # viridis: the green channel rises with the value
    energies = [event.value for event in found.Scalars("free energy per pixel/a")]
    assert energies == pytest.approx([float(state.free_energy()) / 180 for state in states], rel=1e-5)
    assert [event.value for event in found.Scalars("residual/a")] == pytest.approx(
        [float(state.residual()) for state in states[1:]], rel=1e-5
    )


def test_the_largest_labels_of_a_picture() -> None:
    truth = torch.tensor([[0, 0, 255, 255], [255, 2, 2, 2]])
    assert board.largest_labels(truth, ["a", "b", "c"], 3) == ["c", "a"]
    assert board.largest_labels(truth, ["a", "b", "c"], 1) == ["c"]


def test_hparams_are_flat() -> None:
    assert board.hparams({"a": 1, "b": {"c": None, "d": [1, 2]}}) == {"a": 1, "b.c": "None", "b.d": "[1, 2]"}
