"""Optimizer groups with a rate of their own, and the schedule of the rates."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn as nn
from torch import Tensor

from crfrnn.nets import SegmentationModel
from train.recipes import Stage


def build_optimizer(
    model: SegmentationModel, stage: Stage, name: str = "NAME", temperature: Sequence[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """SGD or Adam over the parameters that require a gradient, in groups named for logs ("trunk", "new layers", ...).

    As in DeepLab, a bias learns at twice the rate of its weight and has no decay. CRF parameters have no decay but that of
    `pull`. The `temperature` of the loss, if it is learned, has the rate of kernel weights. Raises ValueError, in the name
    of the stage, where nothing is left to learn.
    """
    groups: dict[tuple[str, bool], list[torch.nn.Parameter]] = {}
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kind = family(model, parameter_name)
            groups.setdefault((kind, parameter_name.endswith(".bias")), []).append(parameter)
    if not groups:
        raise ValueError(f"--stages.{name}.freeze leaves nothing to learn; wanted fewer layers there")
    if temperature:
        groups["temperature", False] = list(temperature)
    multiplier = {
        "trunk": 1.0,
        "new layers": stage.new_layers_multiplier,
        "last layer": stage.last_layer_multiplier,
        "kernel weights": stage.kernel_weight_multiplier,
        "compatibility": stage.compatibility_multiplier,
        "bandwidths": stage.bandwidth_multiplier,
        "guide": stage.guide_multiplier,
        "temperature": stage.kernel_weight_multiplier,
        "filter": stage.filter_multiplier,
    }
    settings = []
    for (kind, is_bias), parameters in groups.items():
        rate = stage.lr * multiplier[kind] * (2 if is_bias else 1)
        decay = stage.weight_decay if kind in ("trunk", "new layers", "last layer") and not is_bias else 0.0
        settings.append({"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": decay, "name": kind})
    if stage.optimizer == "adam":
        return torch.optim.AdamW(settings, lr=stage.lr, betas=(stage.momentum, 0.999))
    return torch.optim.SGD(settings, lr=stage.lr, momentum=stage.momentum)


def check_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError where the momentum that was loaded is that of other parameters."""
    for parameter, state in optimizer.state.items():
        momentum = state.get("momentum_buffer")
        if momentum is not None and momentum.shape != parameter.shape:
            raise ValueError(f"its momentum has a shape {list(momentum.shape)} for {list(parameter.shape)}")


def anchors(model: SegmentationModel) -> dict[nn.Parameter, Tensor]:
    """The values of the parameters of the CRF and the guide, as they are now."""
    parts = (part for part in (model.crf, model.guide) if part is not None)
    return {each: each.detach().clone() for part in parts for each in part.parameters()}


def pull(anchors: Mapping[nn.Parameter, Tensor], decay: float) -> None:
    """Add to the gradient of each parameter `decay` times its distance from its anchor."""
    for parameter, anchor in anchors.items():
        if decay and parameter.grad is not None:
            parameter.grad.add_(parameter.detach() - anchor, alpha=decay)


def family(model: SegmentationModel, parameter: str) -> str:
    """Which group a parameter of `model` belongs to, by its name."""
    if parameter.startswith("guide."):
        return "guide"
    if parameter.startswith("crf."):
        kinds = {"compatibility": "compatibility", "log_bandwidth_scales": "bandwidths", "log_side_scales": "filter"}
        return next((kind for name, kind in kinds.items() if name in parameter), "kernel weights")
    return model.network.family(parameter.removeprefix("network."))


def factor(stage: Stage, step: int) -> float:
    """What the base rates are multiplied by in step number `step` (from 0)."""
    warm = min(1.0, (step + 1) / stage.warmup) if stage.warmup else 1.0
    if stage.schedule == "poly":
        return warm * (1 - step / stage.steps) ** stage.power
    return warm * (0.1 ** (step // stage.step_size) if stage.schedule == "step" else 1.0)


def set_rates(optimizer: torch.optim.Optimizer, stage: Stage, step: int) -> None:
    """Give every group the rate of step number `step`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor(stage, step)


def rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The rate of every group as it is now; of weights where a group has biases, too."""
    found: dict[str, float] = {}
    for group in optimizer.param_groups:
        found[group["name"]] = min(group["lr"], found.get(group["name"], float("inf")))
    return found


def clip_gradients(optimizer: torch.optim.Optimizer, largest: float | None) -> dict[str, float]:
    """Scale the gradient of every group by name to a norm of at most `largest`; returns the norms before."""
    groups: dict[str, list[torch.nn.Parameter]] = {}
    for group in optimizer.param_groups:
        groups.setdefault(group["name"], []).extend(group["params"])
    limit = float("inf") if largest is None else largest
    return {name: float(torch.nn.utils.clip_grad_norm_(group, limit)) for name, group in groups.items()}
