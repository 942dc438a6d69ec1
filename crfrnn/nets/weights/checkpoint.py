"""Checkpoints: one file holds a model's description, its weights and whatever its trainer wants to keep beside them."""

import os
import reprlib
from pathlib import Path
from typing import Any

import torch

from crfrnn._files import load_torch, naming, replacing
from crfrnn.nets.assembly import SegmentationModel, build_model
from crfrnn.nets.bgr import crf_from_settings
from crfrnn.nets.weights.imagenet import checked_state
from crfrnn.nets.weights.loading import load_tensors

FORMAT = "crfrnn checkpoint 1"


def save_checkpoint(
    path: str | os.PathLike,
    model: SegmentationModel,
    *,
    architecture: dict[str, Any],
    classes: list[str],
    training: dict[str, Any] | None = None,
) -> None:
    """Write `model` to `path`, to a temporary name first: a file called `path` is always complete.

    Args:
        architecture: the arguments of `build_model` but for `crf`: plain numbers and strings.
        classes: name of every label.
        training: tensors and plain values that a training run needs to continue.
    """
    content = {
        "format": FORMAT,
        "architecture": architecture,
        "classes": classes,
        "crf": None if model.crf is None else model.crf.settings(),
        "model": model.state_dict(),
        "training": training,
    }
    with replacing(Path(path)) as partial:
        torch.save(content, partial)


def load_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Content of a checkpoint as a dictionary (see `save_checkpoint`), tensors on the CPU.

    Nothing in the file is executed (`weights_only=True`). Raises FileNotFoundError where there is none and ValueError
    where the file is damaged or something else.
    """
    content = load_torch(path, "checkpoint")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"{os.fspath(path)!r} can be read but is not a checkpoint of crfrnn (no format mark {FORMAT!r}); "
            "load other weights into a model of build_model first"
        )
    return checked_checkpoint(content, path)


def checked_checkpoint(content: dict[str, Any], path: str | os.PathLike) -> dict[str, Any]:
    """`content` where it has what `save_checkpoint` writes; ValueError, naming the file, where it has not."""
    file, kinds = os.fspath(path), {"architecture": (dict,), "crf": (dict, type(None)), "training": (dict, type(None))}
    for name, wanted in kinds.items():
        if not isinstance(content.get(name, ...), wanted):
            raise ValueError(
                f"{file!r} is a damaged checkpoint: its {name!r} is missing, or something else; save it again"
            )
    classes, num_labels = content.get("classes"), content["architecture"].get("num_labels")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError(
            f"{file!r} is a damaged checkpoint: its 'classes' are {reprlib.repr(classes)}; wanted a list of names"
        )
    if num_labels is not None and len(classes) != num_labels:
        raise ValueError(f"{file!r} is a damaged checkpoint: {len(classes)} names of classes for {num_labels} labels")
    checked_state(content.get("model"), path, "checkpoint")
    return content


def model_from_checkpoint(path: str | os.PathLike) -> tuple[SegmentationModel, list[str]]:
    """The model in a checkpoint, in evaluation mode on the CPU, and the names of its labels.

    Raises as `load_checkpoint`, and ValueError where its settings are not those of a model, or its weights do not fit.
    """
    content = load_checkpoint(path)
    with naming(path):
        crf = None if content["crf"] is None else crf_from_settings(content["crf"])
        model = build_model(**content["architecture"], crf=crf)
        reset = load_tensors(model, content["model"])
    if reset:
        raise ValueError(f"{os.fspath(path)!r} is damaged: {', '.join(reset)} are of another number of labels")
    return model.eval(), content["classes"]
