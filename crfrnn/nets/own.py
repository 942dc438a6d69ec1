"""Networks of your own: a module of any making, fitted to what a `SegmentationModel` wants of a network."""

import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F

from crfrnn.nets.functions import NetworkFunction, describe
from crfrnn.nets.vgg import MEAN_RGB

SCALINGS = {
    "0..255": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
    "0..1": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "-1..1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and deviation of RGB in 0..1 by which a module wants its input normalized: (image / 255 - mean) / deviation."""

BACKBONES = ("backbone", "encoder", "features")
"""Children of a module whose parameters are the backbone, where the module does not say otherwise."""

FAMILIES = {"backbone": "trunk", "head": "last layer"}


class OwnNetwork(nn.Module):
    """The module of a `NetworkFunction`: raw RGB images [B, 3, H, W] in 0..255 in, scores [B, L, H, W] out.

    The module gives logits [B, L, h, w] of any size, or a dictionary with them under "out"; they are spread evenly over the
    image (bilinear, not align-corners, as torchvision does). It may have these attributes:

        input_scaling: a name in `SCALINGS`, or a pair (mean, deviation) for images in 0..1. Without it, the module gets
            0..255 as they are, and a warning says so.
        size_multiple: sides of images have to be multiples of this number; images are padded to it with the mean color.
        parameter_groups: a function without arguments that gives {"backbone": parameters, "head": parameters}, each
            parameter once. Without it, the children called one of `BACKBONES` are the backbone and the rest is the head, or
            all is backbone where there is no such child.

    For the other attributes see `crfrnn.nets.assembly.Network`. Raises ValueError where the module is not like that.
    """

    output_stride = period = 1
    origin = 0
    has_tiles = False
    mean: torch.Tensor
    deviation: torch.Tensor
    fill: torch.Tensor

    def __init__(self, function: NetworkFunction, num_labels: int) -> None:
        super().__init__()
        self.function, self.variant, self.num_labels = function, function.name, num_labels
        self.module = function.make(num_labels)
        mean, deviation = scaling(self.module, function.given)
        self.register_buffer("mean", 255 * mean, persistent=False)
        self.register_buffer("deviation", 255 * deviation, persistent=False)
        self.register_buffer("fill", torch.tensor(MEAN_RGB).view(1, 3, 1, 1), persistent=False)
        self.size_multiple = getattr(self.module, "size_multiple", 1)
        if type(self.size_multiple) is not int or self.size_multiple < 1:
            raise ValueError(
                f"the network {function.given} has the size_multiple {self.size_multiple!r}; wanted a whole number of at "
                "least 1"
            )
        self.families = families(self.module, function.given)

    @cached_property
    def label_layers(self) -> tuple[str, ...]:
        """The layers that have another shape in a module made for one label more."""
        more = self.function.make(self.num_labels + 1).state_dict()
        own = self.module.state_dict()
        differ = [name for name in own if name not in more or more[name].shape != own[name].shape]
        return tuple(dict.fromkeys(f"module.{name}".rpartition(".")[0] for name in differ))

    @torch.no_grad()
    def reset_scores(self) -> None:
        """Give the layers of the labels the values they have in a new module."""
        new = self.function.make(self.num_labels).state_dict()
        for name, tensor in self.module.state_dict().items():
            if f"module.{name}".rpartition(".")[0] in self.label_layers:
                tensor.copy_(new[name])

    def padded_size(self, size: int) -> int:
        return -(-size // self.size_multiple) * self.size_multiple

    def family(self, parameter: str) -> str:
        return self.families[parameter.removeprefix("module.")]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        try:
            output = self.module((image - self.mean) / self.deviation)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise ValueError(
                f"the network {self.function.given} does not take an image of {image.shape[2]} x {image.shape[3]} pixels "
                f"({describe(error)}). If it wants sides that are multiples of a number, such as 32, let its function set "
                "module.size_multiple = 32"
            ) from error
        scores = output.get("out") if isinstance(output, Mapping) else output
        wanted = [len(image), self.num_labels]
        if not isinstance(scores, torch.Tensor) or scores.ndim != 4 or list(scores.shape[:2]) != wanted:
            raise ValueError(
                f"the network {self.function.given} gave {kind(output)}; wanted logits [{wanted[0]}, {wanted[1]}, h, w], or "
                'a dictionary with them under "out"'
            )
        if scores.shape[2:] == image.shape[2:]:
            return scores
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return F.interpolate(scores, size=image.shape[2:], mode="bilinear")


def kind(output: Any) -> str:
    """What a module gave, in words."""
    if isinstance(output, torch.Tensor):
        return f"a tensor of shape {list(output.shape)}"
    if isinstance(output, Mapping):
        inner = output.get("out")
        return f"a dictionary of {', '.join(map(str, output))}" + (
            f", {kind(inner)} in 'out'" if "out" in output else ""
        )
    return f"a {type(output).__name__}"


def scaling(module: nn.Module, given: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation [1, 3, 1, 1], for images in 0..1, that a module declares."""
    declared = getattr(module, "input_scaling", None)
    if declared is None:
        warnings.warn(
            f"the network {given} does not declare its input, so it gets RGB in 0..255; let its function set "
            f"module.input_scaling to one of {', '.join(map(repr, SCALINGS))}, or to (mean, deviation)",
            stacklevel=2,
        )
        declared = "0..255"
    try:
        pair = SCALINGS[declared] if isinstance(declared, str) else declared
        mean, deviation = (torch.tensor([float(each) for each in numbers]).view(1, 3, 1, 1) for numbers in pair)
        good = bool(mean.isfinite().all() and deviation.isfinite().all() and (deviation > 0).all())
    except (KeyError, TypeError, ValueError, RuntimeError):
        good = False
    if not good:
        raise ValueError(
            f"the network {given} has the input_scaling {declared!r}; wanted one of {', '.join(map(repr, SCALINGS))}, or "
            "(mean, deviation), three numbers each, for images in 0..1"
        )
    return mean, deviation


def families(module: nn.Module, given: str) -> dict[str, str]:
    """The family of every parameter of a module by its name."""
    declared = getattr(module, "parameter_groups", None)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    if declared is None:
        backbones = [name for name, _ in module.named_children() if name in BACKBONES]
        inside = [not backbones or name.split(".")[0] in backbones for name in names.values()]
        return {
            name: FAMILIES["backbone" if each else "head"] for name, each in zip(names.values(), inside, strict=True)
        }
    try:
        groups = {group: [names.get(id(each)) for each in members] for group, members in declared().items()}
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f"the network {given} has parameter_groups that cannot be read ({describe(error)}); wanted a function without "
            'arguments that gives {"backbone": parameters, "head": parameters}'
        ) from error
    found = [name for members in groups.values() for name in members]
    if not set(groups) <= set(FAMILIES) or sorted(map(str, found)) != sorted(names.values()):
        raise ValueError(
            f"the network {given} has parameter_groups of {len(found)} parameters called {', '.join(map(repr, groups))}; "
            f"wanted 'backbone' and 'head', and each of its {len(names)} parameters in one of them"
        )
    return {str(name): FAMILIES[group] for group, members in groups.items() for name in members}
