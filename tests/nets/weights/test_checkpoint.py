"""Checkpoints: what is saved comes back, whole or not at all, and foreign files are refused."""

import pickle
from pathlib import Path

import pytest
import torch

from crfrnn import CRFRNN, appearance_kernel
from crfrnn.nets import build_model, load_checkpoint, model_from_checkpoint, save_checkpoint

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
