"""Reading the model of a checkpoint, and the data that fit it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from crfrnn.data import COCO_LABELS, Parts, SegmentationSet, open_set, source_of
from crfrnn.folders import Folders
from crfrnn.nets import NetworkFunction, SegmentationModel, load_checkpoint, model_from_checkpoint
from crfrnn.nets.functions import is_own


def load_model(checkpoint: Path, network: str | None = None) -> tuple[SegmentationModel, list[str]]:
    """The model in a checkpoint, on the GPU if there is one, and the names of its labels.

    `network` (--network) names the function of the user's that makes its network; without it, none is imported. Raises as
    `model_from_checkpoint`, and ValueError where the network is a built-in one.
    """
    functions = [] if network is None else [NetworkFunction(network)]
    name = load_checkpoint(checkpoint)["architecture"].get("name")
    if functions and not is_own(str(name)):
        raise ValueError(f"--network is {network}, and {checkpoint} holds a built-in network; leave it out")
    model, classes = model_from_checkpoint(checkpoint, functions)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model, classes


def networks_of(checkpoints: Sequence[Path], networks: Sequence[str]) -> list[str | None]:
    """For each checkpoint, the one of several --network that it holds; None where none of them is.

    Raises as `load_checkpoint`, and ValueError for one that no checkpoint holds.
    """
    held = [str(load_checkpoint(checkpoint)["architecture"].get("name")) for checkpoint in checkpoints]
    given = {NetworkFunction(network).name: network for network in networks}
    for name, network in given.items():
        if name not in held:
            own = [each for each in held if is_own(each)]
            raise ValueError(
                f"--network is {network}, and the checkpoints hold {', '.join(own) or 'built-in networks'}; leave it "
                "out, or name these"
            )
    return [given.get(name) for name in held]


def parts_of(checkpoint: Path) -> Parts | None:
    """The parts that a model labels; None for a model of whole objects.

    Raises as `load_checkpoint`, and ValueError where the checkpoint describes its parts wrongly.
    """
    training: dict[str, Any] = load_checkpoint(checkpoint)["training"] or {}
    if "parts" not in training:
        return None
    try:
        return Parts(**training["parts"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{checkpoint} is a damaged checkpoint: its parts are not usable ({error})") from error


def open_for(checkpoint: Path, data: Path | None, split: str, folders: Folders) -> SegmentationSet:
    """The images of a list, labeled as the model of a checkpoint labels: with VOC's classes, COCO's own, or parts.

    The images are in `data`, or in `folders`, whose labels are then those of the checkpoint. Raises as `load_checkpoint`,
    `source_of` and `open_set`.
    """
    classes = tuple(load_checkpoint(checkpoint)["classes"])
    own = classes == COCO_LABELS["coco"].classes
    return open_set(source_of(data, folders, classes), split, parts_of(checkpoint), "coco" if own else "voc")


def check_iterations(checkpoint: Path, model: SegmentationModel, iterations: int | None) -> None:
    """Raise ValueError where --iterations has nothing to act on, as the model has no CRF."""
    if iterations and model.crf is None:
        raise ValueError(
            f"--iterations {iterations} has nothing to act on, since {checkpoint} has no CRF; leave it out"
        )


def check_labels(checkpoint: Path, classes: Sequence[str], dataset: SegmentationSet) -> None:
    """Raise ValueError where a checkpoint's labels are not those of the data set, in number, order and name."""
    if len(classes) != dataset.num_labels:
        raise ValueError(
            f"{checkpoint} has {len(classes)} labels, the data set in {dataset.root} has {dataset.num_labels}; "
            "wanted equal numbers: evaluate on data of the kind the model was trained on"
        )
    for label, (ours, theirs) in enumerate(zip(classes, dataset.classes, strict=True)):
        if ours != theirs:
            raise ValueError(
                f"label {label} is {ours!r} in {checkpoint} and {theirs!r} in {dataset.root}; wanted the same classes "
                "in the same order. If only the names differ, name them alike in classes.txt of the data set"
            )
