"""Checkpoints: one file holds a model's description, its weights and whatever its trainer wants to keep beside them."""

import os
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from crfrnn._files import load_torch, naming, replacing
from crfrnn.nets.assembly import SegmentationModel, build_model
from crfrnn.nets.bgr import crf_from_settings
from crfrnn.nets.functions import NetworkFunction, is_own
from crfrnn.nets.weights.imagenet import checked_state, look_for_imagenet
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
    look_for_checkpoint(path)
    content = load_torch(path, "checkpoint")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"{os.fspath(path)!r} can be read but is not a checkpoint of crfrnn (no format mark {FORMAT!r}); "
            "load other weights into a model of build_model first"
        )
    return checked_checkpoint(content, path)


def look_for_checkpoint(path: str | os.PathLike[str]) -> None:
    """Raise FileNotFoundError where there is no file of that name."""
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"there is no checkpoint at {os.fspath(path)!r}; python -m train.run leaves one for every stage (--out DIR: "
            "DIR/STAGE.pt), and python -m crfrnn.nets.convert IN OUT.pt makes one of published weights"
        )


def look_for_weights(source: str) -> None:
    """Raise FileNotFoundError where --init, a checkpoint or weights of ImageNet, is a file that is not there."""
    if source.endswith(".pt"):
        look_for_checkpoint(source)
    else:
        look_for_imagenet(source)


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


def function_of(
    path: str | os.PathLike, architecture: dict[str, Any], functions: Sequence[NetworkFunction]
) -> NetworkFunction | None:
    """The one of `functions` that makes a checkpoint's network; None for a built-in network.

    Raises ValueError where it is another function.
    """
    name = architecture.get("name")
    if not isinstance(name, str) or not is_own(name):
        return None
    found = next((function for function in functions if function.name == name), None)
    if found is None:
        given = f", not {' or '.join(each.given for each in functions)}" if functions else ""
        raise ValueError(
            f"{os.fspath(path)!r} holds the network {name}{given}: code of yours, which runs only where the command names "
            f"it; wanted --network {name}, with its folder where it is a file"
        )
    return found


def model_from_checkpoint(
    path: str | os.PathLike, functions: Sequence[NetworkFunction] = ()
) -> tuple[SegmentationModel, list[str]]:
    """The model in a checkpoint, in evaluation mode on the CPU, and the names of its labels.

    Args:
        functions: networks of your own that the checkpoint may hold. It cannot make others run.

    Raises as `load_checkpoint` and as `NetworkFunction.make`, and ValueError where its settings are not those of a model,
    its weights do not fit, or its network is another function.
    """
    content = load_checkpoint(path)
    function = function_of(path, content["architecture"], functions)
    if function is not None:
        function.load()  # outside of `naming`: what is wrong there is not wrong with the checkpoint
    with naming(path):
        crf = None if content["crf"] is None else crf_from_settings(content["crf"])
        model = build_model(**content["architecture"] | ({"name": function} if function else {}), crf=crf)
        reset = load_tensors(model, content["model"])
    if reset:
        raise ValueError(f"{os.fspath(path)!r} is damaged: {', '.join(reset)} are of another number of labels")
    return model.eval(), content["classes"]
