"""What the parts of a run share, and where a stage stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from crfrnn import CRFRNN
from crfrnn.data import SegmentationSet
from crfrnn.nets import NetworkFunction, SegmentationModel, build_model
from crfrnn.nets.functions import is_own
from train.distributed import Processes
from train.interrupt import Stop
from train.options import own_networks
from train.recipes import Recipe, Stage
from train.recipes.order import previous
from train.steps.memory import Memory


@dataclass
class Run:
    """What the stages of one run share."""

    recipe: Recipe
    dataset: SegmentationSet
    validation: SegmentationSet
    out: Path
    device: torch.device
    group: Processes
    stop: Stop
    sets: Mapping[str, Sequence[SegmentationSet]] = field(default_factory=dict)
    """by stage: the data sets of its mixture, see train.steps.mixture"""
    init: str | None = None
    """weights that its first stage began with, as --init names them"""
    final_images: int | None = None
    """images of the validation list that the final table is over; None for all"""
    table: Path | None = None
    """where the final table goes in addition to `out`"""
    figures: str = "png"
    """format of the figures in `out`"""
    memory: Memory = field(default_factory=Memory)
    """what frozen trunks gave"""

    def first_step(self, name: str) -> int:
        """The step of the run at which stage `name` begins: the steps of all stages before it in the recipe."""
        stages = self.recipe.stages
        return sum(stages[other].steps for other in list(stages)[: list(stages).index(name)])

    def chain(self, name: str) -> int:
        """What the random numbers of stage `name` follow from, beside seed and step: the stage that it begins from.

        So a control sees the same dropout as the joint training that it stands beside.
        """
        before = previous(self.recipe.stages, name)
        return 0 if before is None else 1 + list(self.recipe.stages).index(before)

    def build(self, stage: Stage, crf: CRFRNN | None) -> SegmentationModel:
        """The model of a stage with new weights. Raises as `build_model`."""
        given = stage.network or self.recipe.network
        name = NetworkFunction(given) if is_own(given) else given
        return build_model(**self.architecture(stage) | {"name": name}, crf=crf)

    @property
    def functions(self) -> list[NetworkFunction]:
        """The networks of the user's that the recipe names."""
        return [NetworkFunction(given) for given in own_networks(self.recipe).values()]

    def architecture(self, stage: Stage) -> dict[str, Any]:
        """The network of a stage as arguments of `build_model`, as checkpoints record them."""
        given = stage.network or self.recipe.network
        return {
            "name": NetworkFunction(given).name if is_own(given) else given,
            "num_labels": self.dataset.num_labels,
            "width": self.recipe.width,
            "dropout": self.recipe.dropout if stage.dropout is None else stage.dropout,
            "input_scale": self.recipe.input_scale,
            "input_side": self.recipe.input_side,
            "extra_labels": self.recipe.extra_labels,
            "guide_channels": 0 if stage.trains == "network" else self.recipe.crf.guide_channels,
        }


@dataclass
class Progress:
    """Where a stage stands; with the recipe it determines rates, samples and random numbers of all that follows."""

    step: int = 0
    validated: int = 0
    """the step after which the validation list was last scored"""
    best: float = -1.0
    """highest mean IoU of these"""
    waited: int = 0
    """scorings since then"""
    loss: float = 0.0
    """sum of the losses since the last line of the log"""
    losses: int = 0
    seconds: float = 0.0
    """time taken up to the last checkpoint, validations included"""

    def stopped(self, patience: int, steps: int) -> str | None:
        """Why a stage of so many steps ends before the last of them; None where it does not."""
        if not patience or self.waited < patience or self.step == steps:
            return None
        return (
            f"mean IoU not above {self.best:.2f} in {patience} validations: stopped after step {self.step} of {steps}"
        )
