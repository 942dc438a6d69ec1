"""Tensors between a file and a network of ours: where each comes from, where it goes, and what was done to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from crfrnn.nets.mobilenet import DeepLabV3MobileNetV2
from crfrnn.nets.weights.imagenet import fold_input

SEES_COLORS = ("network.conv1_1", "network.data_conv")
"""The layers that look at the image itself; data_conv is the first branch of the MSc networks."""

SCORE_WEIGHTS = ("network.fc8.weight", "network.score_fr.weight", "network.logits.weight")
"""Every network of ours has one of these; its first size is the number of labels."""


@dataclass
class Entry:
    """One tensor for a `SegmentationModel`.

    Attributes:
        sources: shapes of what it was made from in the file, by the names there.
        target: its name in the state dict of the model; None where nothing of ours corresponds to it.
        tensor: float32.
        done: what was done to it, in words.
    """

    sources: dict[str, list[int]]
    target: str | None
    tensor: torch.Tensor
    done: list[str] = field(default_factory=list)

    @property
    def source(self) -> str:
        return " + ".join(self.sources)


@dataclass
class SourceFile:
    """What a weight file holds, under our names.

    Attributes:
        what: the kind of file, in words.
        entries: all of its tensors.
        variant: the network they belong to, one of `crfrnn.nets.NETWORKS`; None where the tensors do not tell.
        architecture: arguments of `build_model` but for `crf`, where the file has them.
        crf: the settings of the CRF (see `CRFRNN.settings`), where there is one.
        classes: names of the labels, where the file has them.
        assumed: parameters the file does not hold, since they are constants in its network.
    """

    what: str
    entries: list[Entry]
    variant: str | None = None
    architecture: dict[str, Any] | None = None
    crf: dict[str, Any] | None = None
    classes: list[str] | None = None
    assumed: tuple[str, ...] = ()


def entry(source: str, target: str | None, tensor: torch.Tensor) -> Entry:
    """The tensor called `source` as it is, as float32."""
    return Entry({source: list(tensor.shape)}, target, tensor.float())


def by_target(entries: Iterable[Entry]) -> dict[str, Entry]:
    """The entries that go somewhere, by where. Raises ValueError where two would go to the same place."""
    found: dict[str, Entry] = {}
    for each in entries:
        if each.target is None:
            continue
        if each.target in found:
            raise ValueError(
                f"{found[each.target].source} and {each.source} both belong to {each.target}; leave one out"
            )
        found[each.target] = each
    return found


def to_rgb(entries: Iterable[Entry], mean_rgb: Sequence[float], ours: Sequence[float]) -> None:
    """Make layers that look at BGR images minus the color `mean_rgb` ones for RGB images minus the color `ours`.

    Raises ValueError where such a layer is not a convolution over three channels, or comes without its bias.
    """
    targets = by_target(entries)
    for layer in SEES_COLORS:
        weight, bias = targets.get(f"{layer}.weight"), targets.get(f"{layer}.bias")
        if weight is None and bias is None:
            continue
        if weight is None or bias is None:
            present = weight or bias
            raise ValueError(f"{present.source} comes alone; wanted both weight and bias of {layer}")  # type: ignore[union-attr]
        if weight.tensor.ndim != 4 or weight.tensor.shape[1] != 3:
            raise ValueError(
                f"{weight.source} has shape {list(weight.tensor.shape)}; wanted [O, 3, 3, 3], for images of three colors"
            )
        tensors = {"conv1_1.weight": weight.tensor, "conv1_1.bias": bias.tensor.flatten()}
        fold_input(tensors, mean_rgb, ours=torch.tensor(ours), bgr=True)
        weight.tensor, bias.tensor = tensors["conv1_1.weight"], tensors["conv1_1.bias"]
        weight.done.append("BGR -> RGB")
        if tuple(mean_rgb) != tuple(ours):
            bias.done.append("for our mean color")


def recognize(entries: Iterable[Entry]) -> str | None:
    """The network whose layers these are; None where they could be of several.

    An FCN-8s is reported as such: whether it was trained at once, its layers do not tell.
    """
    targets = by_target(entries)
    layers = {name.split(".")[1] for name in targets if name.startswith("network.")}
    for layer, name in {"upscore8": "fcn-8s", "upscore16": "fcn-16s", "upscore": "fcn-32s"}.items():
        if layer in layers:
            return name
    if {"features", "aspp", "pooling"} <= layers:
        return DeepLabV3MobileNetV2.variant
    fc6 = targets.get("network.fc6.weight")
    if fc6 is None or fc6.tensor.ndim != 4 or "fc8" not in layers:
        return None
    deeplabs = {
        (7, False): "deeplab-7x7",
        (4, True): "deeplab-msc",
        (3, False): "deeplab-largefov",
        (3, True): "deeplab-msc-largefov",
    }
    return deeplabs.get((fc6.tensor.shape[-1], "data_conv" in layers))
