"""Which numbers and names of a recipe make sense, checked before anything is loaded."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from crfrnn.parts import Parts
from crfrnn.presets import FixedCRF
from train.recipes.order import check_likes
from train.recipes.schema import Crf, CrfLoss, EStep, Loss, Recipe, Source, Stage


@dataclass(frozen=True)
class Limits:
    """A number lies from `low` to `high`, each included where its bracket in `ends` is square."""

    low: float
    high: float
    ends: str = "[]"

    def allow(self, value: float) -> bool:
        """Whether `value` lies there; NaN never does."""
        above = value > self.low if self.ends[0] == "(" else value >= self.low
        return above and (value < self.high if self.ends[1] == ")" else value <= self.high)

    def describe(self, name: str) -> str:
        """The limits as an inequality of what is called `name`."""
        before, after = ("<" if end in "()" else "<=" for end in self.ends)
        return f"{self.low:,} {before} {name} {after} {self.high:,}"


# The far ends keep products of a few numbers within float32.
MILLION, MANY = 1_000_000, 1_000_000_000
POSITIVE, FACTOR, SHARE = Limits(0, MILLION, "(]"), Limits(0, MILLION), Limits(0, 1, "[)")
COUNT, COUNT_OR_NONE, PIXELS = Limits(1, MANY), Limits(0, MANY), Limits(1, 100_000)
BANDWIDTH, WEIGHT = Limits(0.01, MILLION), Limits(-MILLION, MILLION)

LIMITS: dict[type, dict[str, Limits]] = {
    Recipe: {
        "width": Limits(0, 16, "(]"),
        "dropout": SHARE,
        "input_scale": Limits(0.05, 4),
        "input_side": Limits(16, 10_000),
        "extra_labels": Limits(0, 254),
        "val_images": COUNT,
        "seed": Limits(0, 2**63 - 1),
        "workers": Limits(0, 1024),
    },
    Stage: {
        "steps": COUNT,
        "batch_size": COUNT,
        "lr": POSITIVE,
        "dropout": SHARE,
        "accumulate": COUNT,
        "power": FACTOR,
        "step_size": COUNT,
        "warmup": COUNT_OR_NONE,
        "new_layers_multiplier": FACTOR,
        "last_layer_multiplier": FACTOR,
        "kernel_weight_multiplier": FACTOR,
        "compatibility_multiplier": FACTOR,
        "bandwidth_multiplier": FACTOR,
        "guide_multiplier": FACTOR,
        "crf_decay": FACTOR,
        "filter_multiplier": FACTOR,
        "momentum": SHARE,
        "weight_decay": FACTOR,
        "clip": POSITIVE,
        "loss_stride": PIXELS,
        "crop": PIXELS,
        "scale": Limits(0, 16, "(]"),
        "trunk_memory": FACTOR,
        "ema": SHARE,
        "save_every": COUNT,
        "keep_every": COUNT_OR_NONE,
        "validate_every": COUNT_OR_NONE,
        "patience": COUNT_OR_NONE,
    },
    Loss: {"cross_entropy": FACTOR, "temperature": Limits(0.01, 100), "jaccard": FACTOR, "lovasz": FACTOR},
    Source: {"count": COUNT, "weight": POSITIVE},
    EStep: {
        "foreground_bias": FACTOR,
        "background_bias": FACTOR,
        "foreground_portion": SHARE,
        "background_portion": SHARE,
        "rounds": Limits(0, 1000),
    },
    CrfLoss: {"weight": FACTOR, "theta_alpha": BANDWIDTH, "theta_beta": BANDWIDTH, "stride": PIXELS},
    Crf: {
        "theta_alpha": BANDWIDTH,
        "theta_beta": BANDWIDTH,
        "theta_gamma": BANDWIDTH,
        "appearance_weight": WEIGHT,
        "smoothness_weight": WEIGHT,
        "num_iterations": Limits(1, 1000),
        "guide_channels": Limits(0, 5),
        "damping": SHARE,
    },
    FixedCRF: {
        "appearance_weight": WEIGHT,
        "theta_alpha": BANDWIDTH,
        "theta_beta": BANDWIDTH,
        "smoothness_weight": WEIGHT,
        "theta_gamma": BANDWIDTH,
        "num_iterations": Limits(0, 1000),
    },
    Parts: {"side": PIXELS, "margin": Limits(0, 100), "smallest": Limits(0, 100_000)},
}
"""By type, the numbers among its fields; where a field may be None or a word, that is no number."""


def check_recipe(recipe: Recipe) -> None:
    """Raise ValueError, naming the flag, where a number of a recipe is out of its limits or a name cannot be one."""
    if not recipe.stages:
        raise ValueError("the recipe has no stages; wanted at least one")
    for name, stage in recipe.stages.items():
        if not re.fullmatch(r"\w[\w-]*", name) or re.fullmatch(r"last|hparams|.*-(best|iterations|\d+)", name):
            raise ValueError(
                f"a stage is called {name!r}; wanted letters, digits, - and _, and no name that a file of another stage "
                "has (last, NAME-best, NAME-iterations, NAME-100), since NAME.pt is the stage's checkpoint"
            )
        for source in stage.mixture:
            if not re.fullmatch(r"\w[\w-]*", source):
                raise ValueError(f"a source of stage {name!r} is called {source!r}; wanted letters, digits, - and _")
    check_likes(recipe.stages)
    check_numbers(recipe)
    for name, usual in (("damping", 0), ("gradient", "unrolled")):
        value = getattr(recipe.crf, name)
        if recipe.crf.solver == "frank_wolfe" and value != usual:
            raise ValueError(f"--crf.{name} is {value}, and --crf.solver frank_wolfe has none; leave one of them out")
    for name, stage in recipe.stages.items():
        if stage.scale[0] > stage.scale[1]:
            raise ValueError(f"{flag(f'stages.{name}.scale')} is {show(stage.scale)}; wanted the lower number first")
        terms = stage.loss
        if not any((terms.cross_entropy, terms.jaccard, terms.lovasz)):
            raise ValueError(
                f"{flag(f'stages.{name}.loss.cross_entropy')} is 0, and so are jaccard and lovasz beside it; wanted one "
                "of them above 0"
            )
        if stage.patience and not stage.validate_every:
            raise ValueError(
                f"{flag(f'stages.{name}.patience')} is {stage.patience}, but only the end of the stage is scored; set "
                f"{flag(f'stages.{name}.validate_every')}, or leave it out"
            )


def check_numbers(settings: Any, prefix: str = "") -> None:
    """Raise ValueError, naming the flag, where a number is out of its limits, in `settings` or what it is made of."""
    for kind, field, name, value in numbers(settings, prefix):
        check_number(name, value, LIMITS[kind][field])


def check_number(name: str, value: float | tuple[float, ...], limits: Limits) -> None:
    """Raise ValueError where a number, or one of several, with the dotted `name` is out of its limits."""
    if not all(limits.allow(number) for number in (value if isinstance(value, tuple) else (value,))):
        raise ValueError(f"{flag(name)} is {show(value)}; wanted {limits.describe(name.rpartition('.')[2])}")


def numbers(settings: Any, prefix: str = "") -> Iterator[tuple[type, str, str, Any]]:
    """Type, field, dotted name and value of every number, or tuple of numbers, in nested dataclasses."""
    for own in fields(settings):
        name, value = f"{prefix}{own.name}", getattr(settings, own.name)
        if is_dataclass(value):
            yield from numbers(value, f"{name}.")
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                yield from numbers(inner, f"{name}.{key}.")
        elif own.name in LIMITS[type(settings)] and value is not None and not isinstance(value, str):
            yield type(settings), own.name, name, value


def flag(name: str) -> str:
    """The flag that sets what is called `name`, dotted, in a recipe."""
    return "--" + name.replace("_", "-")


def show(value: Any) -> str:
    """A value as it is written after its flag."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
