"""Optimiser groups with a rate of their own, and the schedule of the rates."""

from collections.abc import Iterable

import torch

from crfrnn.nets import SegmentationModel
from train.recipes import Stage


def build_optimiser(model: SegmentationModel, stage: Stage) -> torch.optim.SGD:
    """SGD over the parameters that require a gradient, in groups named for logs ("trunk", "hidden", "score", ...).

    As in DeepLab, a bias learns at twice the rate of its weight and has no decay. CRF parameters have no decay.
    """
    groups: dict[tuple[str, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((family(name), name.endswith(".bias")), []).append(parameter)
    multiplier = {
        "trunk": 1.0,
        "hidden": stage.hidden_multiplier,
        "score": stage.score_multiplier,
        "kernel weights": stage.kernel_weight_multiplier,
        "compatibility": stage.compatibility_multiplier,
        "bandwidths": stage.bandwidth_multiplier,
    }
    settings = []
    for (kind, is_bias), parameters in groups.items():
        rate = stage.lr * multiplier[kind] * (2 if is_bias else 1)
        decay = stage.weight_decay if kind in ("trunk", "hidden", "score") and not is_bias else 0.0
        settings.append({"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": decay, "name": kind})
    return torch.optim.SGD(settings, lr=stage.lr, momentum=stage.momentum)


def family(parameter: str) -> str:
    """Which group a parameter of a `SegmentationModel` belongs to, by its name."""
    if parameter.startswith("crf."):
        kinds = {"compatibility": "compatibility", "log_bandwidth_scales": "bandwidths"}
        return next((kind for name, kind in kinds.items() if name in parameter), "kernel weights")
    layer = parameter.split(".")[1]
    return {"fc6": "hidden", "fc7": "hidden", "fc8": "score"}.get(layer, "trunk")


def factor(stage: Stage, step: int) -> float:
    """What the base rates are multiplied by in step number `step` (from 0)."""
    warm = min(1.0, (step + 1) / stage.warmup) if stage.warmup else 1.0
    if stage.schedule == "poly":
        return warm * (1 - step / stage.steps) ** stage.power
    return warm * 0.1 ** (step // stage.step_size)


def set_rates(optimiser: torch.optim.Optimizer, stage: Stage, step: int) -> None:
    """Give every group the rate of step number `step`."""
    for group in optimiser.param_groups:
        group["lr"] = group["base_lr"] * factor(stage, step)


def clip_gradients(model: SegmentationModel, largest: float) -> dict[str, float]:
    """Scale the gradients of network and CRF, each, to a norm of at most `largest`; returns the norms before."""
    parts: dict[str, Iterable[torch.nn.Parameter]] = {"network": model.network.parameters()}
    if model.crf is not None:
        parts["crf"] = model.crf.parameters()
    return {name: float(torch.nn.utils.clip_grad_norm_(part, largest)) for name, part in parts.items()}
