"""Whether the models of all stages can be made and follow one another, found out on models without memory."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch

from crfrnn.nets import SegmentationModel
from crfrnn.nets.functions import is_own
from train.recipes import Stage
from train.recipes.order import previous
from train.start import build_crf, freeze, origin, take_over
from train.state import Run
from train.steps.memory import frozen_part
from train.steps.mixture import shares
from train.steps.optimizer import anchors, build_optimizer


@dataclass(frozen=True)
class Size:
    """What a stage writes, in bytes."""

    model: int
    last: int
    """a checkpoint to continue from, which holds momentum, averaged weights and what the CRF began with, too"""


def check_models(run: Run, names: Sequence[str], init: str | None) -> dict[str, Size]:
    """What the checkpoints of each of the stages `names` will take.

    Raises ValueError where a batch cannot be shared out, batches are normalized in several processes, a network is unknown,
    does not follow from the stage before, or has nothing to learn, and FileNotFoundError where a stage has nothing to begin
    from.
    """
    if run.group.world > 1 and run.recipe.batch_norm == "batch":
        raise ValueError("--batch-norm batch needs a single process, as others would see other batches; wanted fixed")
    models: dict[str, SegmentationModel] = {}
    sizes = {}
    for name in names:
        stage = run.recipe.stages[name]
        shares(stage, run.group.world, name)
        before = previous(run.recipe.stages, name)
        foreign = is_own(stage.network or run.recipe.network)
        with nullcontext() if foreign else torch.device("meta"):  # code of others may not know tensors without memory
            crf = None
            if stage.trains != "network":
                crf = build_crf(replace(run.recipe.crf, compatibility="potts"), run.dataset)
            models[name] = run.build(stage, crf)
        if foreign:
            check_forward(models[name], stage)
        if before in models:
            check_succession(run, name, before, models)
        else:
            origin(run, name, init)
        freeze(models[name], stage, name)
        if stage.trunk_memory:
            check_memory(models[name], stage, name)
        optimizer = build_optimizer(models[name], stage, name)
        learned = sum(number_of_bytes(group["params"]) for group in optimizer.param_groups)
        moments = 2 if stage.optimizer == "adam" else int(stage.momentum > 0)
        own = number_of_bytes(models[name].state_dict().values())
        begun = number_of_bytes(anchors(models[name]).values())
        sizes[name] = Size(own, own + begun + moments * learned + (own if stage.ema else 0))
    return sizes


@torch.no_grad()
def check_forward(model: SegmentationModel, stage: Stage) -> None:
    """Raise ValueError where a network of the user's does not take a crop of the stage, or gives no logits for it."""
    side = stage.crop or 321
    model.eval().scores(torch.zeros(1, 3, side, side))
    model.train()


def check_memory(model: SegmentationModel, stage: Stage, name: str) -> None:
    """Raise ValueError where the stage is to remember what a trunk gives that learns."""
    try:
        frozen_part(model)
    except ValueError as error:
        raise ValueError(f"--stages.{name}.trunk-memory is {stage.trunk_memory}, but {error}") from error


def check_succession(run: Run, name: str, before: str, models: Mapping[str, SegmentationModel]) -> None:
    """Raise ValueError where stage `name` cannot take over the weights of the stage `before` it."""
    try:
        take_over(models[name], models[before])
    except ValueError as error:
        old, new = (run.architecture(run.recipe.stages[each])["name"] for each in (before, name))
        raise ValueError(
            f"--stages.{name}.network is {new}, which cannot begin from {old} of stage {before!r}: {error}"
        ) from error


def number_of_bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
