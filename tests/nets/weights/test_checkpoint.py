"""Checkpoints: what is saved comes back, whole or not at all, and foreign files are refused."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crfrnn import CRFRNN, appearance_kernel
from crfrnn.nets import build_model, load_checkpoint, model_from_checkpoint, save_checkpoint
from crfrnn.nets.weights.conversion import convert

ARCHITECTURE = {"name": "deeplab-largefov", "num_labels": 3, "width": 0.05, "dropout": 0.5, "input_scale": 0.5}


def test_a_model_comes_back(tmp_path: Path) -> None:
    crf = CRFRNN(3, [appearance_kernel(20.0, 10.0, 2.0)], 3, "symmetric", "matrix", learn_bandwidths=True)
    model = build_model(**ARCHITECTURE, crf=crf).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    save_checkpoint(tmp_path / "a.pt", model, architecture=ARCHITECTURE, classes=["x", "y", "z"], training={"step": 7})
    again, classes = model_from_checkpoint(tmp_path / "a.pt")
    image = 255 * torch.rand(1, 3, 20, 30)
    assert torch.equal(again(image), model(image))
    assert classes == ["x", "y", "z"]
    assert load_checkpoint(tmp_path / "a.pt")["training"] == {"step": 7}
    assert not again.training


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    model = build_model(**ARCHITECTURE)
    save_checkpoint(tmp_path / "a.pt", model, architecture=ARCHITECTURE, classes=["x", "y", "z"])
    before = (tmp_path / "a.pt").read_bytes()
    with pytest.raises((AttributeError, pickle.PicklingError)):
        save_checkpoint(
            tmp_path / "a.pt", model, architecture=ARCHITECTURE, classes=["x"], training={"bad": lambda: None}
        )
    assert (tmp_path / "a.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


class Foreign:
    """What weights_only refuses to load."""


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_checkpoint(tmp_path / "nowhere.pt")
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(ValueError, match=r"text\.pt"):
        load_checkpoint(tmp_path / "text.pt")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "state.pt")
    with pytest.raises(ValueError, match="no format mark"):
        load_checkpoint(tmp_path / "state.pt")
    torch.save(Foreign(), tmp_path / "object.pt")
    with pytest.raises(ValueError, match=r"object\.pt"):
        load_checkpoint(tmp_path / "object.pt")
    model = build_model(**ARCHITECTURE)
    save_checkpoint(tmp_path / "a.pt", model, architecture=ARCHITECTURE, classes=["x", "y", "z"])
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.pt"):
        load_checkpoint(tmp_path / "cut.pt")


def without(content: dict, name: str) -> dict:
    return {key: value for key, value in content.items() if key != name}


def with_weight(content: dict, name: str, value: object) -> dict:
    return {**content, "model": {**content["model"], name: value}}


BIAS = "network.conv1_1.bias"
FOREIGN = torch.zeros(8)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: {**c, "classes": None}, "'classes' are None; wanted a list of names"),
        (lambda c: {**c, "classes": "xyz"}, "'classes' are 'xyz'; wanted a list of names"),
        (lambda c: {**c, "classes": ["x", "y"]}, "2 names of classes for 3 labels"),
        (lambda c: {**c, "classes": ["x", "y", 3]}, r"'classes' are \['x', 'y', 3\]"),
        (lambda c: without(c, "classes"), "'classes' are None"),
        (lambda c: without(c, "architecture"), "its 'architecture' is missing, or something else"),
        (lambda c: without(c, "training"), "its 'training' is missing, or something else"),
        (lambda c: {**c, "crf": [3]}, "its 'crf' is missing, or something else"),
        (lambda c: {**c, "crf": {"num_labels": 3}}, "does not fit: it has no 'kernels'"),
        (lambda c: {**c, "crf": {**c["crf"], "speed": 3}}, "does not fit: .*unexpected keyword argument 'speed'"),
        (lambda c: {**c, "architecture": {**ARCHITECTURE, "depth": 3}}, "does not fit: .*keyword argument 'depth'"),
        (lambda c: {**c, "architecture": {**ARCHITECTURE, "width": {}}}, "does not fit: "),
        (lambda c: {**c, "architecture": {**ARCHITECTURE, "name": "alexnet"}}, "does not fit: .*'alexnet'"),
        (lambda c: {**c, "model": [1]}, "holds no state dict"),
        (lambda c: {**c, "model": {7: FOREIGN}}, "holds no state dict"),
        (lambda c: {**c, "model": without(c["model"], BIAS)}, rf"does not fit: .*missing {BIAS}; left over nothing"),
        (lambda c: with_weight(c, "network.x", FOREIGN), r"does not fit: .*missing nothing; left over network\.x"),
        (lambda c: with_weight(c, BIAS, FOREIGN[:3]), rf"does not fit: {BIAS} has shape \[3\], the model wants \[8\]"),
        (lambda c: with_weight(c, BIAS, "x"), rf"{BIAS} in .* is no plain tensor of real numbers"),
        (lambda c: with_weight(c, BIAS, FOREIGN.to_sparse()), rf"{BIAS} in .* is no plain tensor of real numbers"),
        (lambda c: with_weight(c, BIAS, FOREIGN * 1j), rf"{BIAS} in .* is no plain tensor of real numbers"),
    ],
)
def test_what_is_wrong_in_a_checkpoint_is_named(tmp_path: Path, damage: Callable[[dict], dict], message: str) -> None:
    path = tmp_path / "a.pt"
    model = build_model(**ARCHITECTURE, crf=CRFRNN(3))
    save_checkpoint(path, model, architecture=ARCHITECTURE, classes=["x", "y", "z"])
    torch.save(damage(torch.load(path)), path)
    with pytest.raises(ValueError, match=message) as caught:
        model_from_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"a\.pt") as caught:
        convert(path)
    assert "\n" not in str(caught.value)


def test_scores_of_another_number_of_labels_are_no_model(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", build_model(**ARCHITECTURE), architecture=ARCHITECTURE, classes=["x", "y", "z"])
    torch.save(with_weight(torch.load(tmp_path / "a.pt"), "network.fc8.bias", torch.zeros(4)), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt' is damaged: .*fc8\.bias are of another number of labels"):
        model_from_checkpoint(tmp_path / "a.pt")
