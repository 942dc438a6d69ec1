"""Where a coarse-to-fine search looks: first a grid, then around the best cell in smaller and smaller steps."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from crfrnn.presets import FixedCRF


@dataclass(frozen=True)
class Grid:
    """The first round: every combination of these, by default DeepLab's. What has one value is not searched."""

    appearance_weight: tuple[float, ...] = (5, 10)
    """weight of the appearance kernel"""
    theta_alpha: tuple[float, ...] = (50, 60, 70, 80, 90, 100)
    """appearance kernel: pixels"""
    theta_beta: tuple[float, ...] = (3, 4, 5, 6, 7, 8, 9, 10)
    """appearance kernel: gray levels of 0..255"""
    smoothness_weight: tuple[float, ...] = (3,)
    """weight of the smoothness kernel"""
    theta_gamma: tuple[float, ...] = (3,)
    """smoothness kernel: pixels"""


START = FixedCRF()
AXES = tuple(field.name for field in fields(Grid))


def first_round(grid: Grid, base: FixedCRF = START) -> list[FixedCRF]:
    """All CRFs of the grid, in all else like `base`. Raises ValueError where an axis is empty or not positive."""
    axes = [getattr(grid, name) for name in AXES]
    for name, values in zip(AXES, axes, strict=True):
        if not values or min(values) <= 0:
            raise ValueError(f"the grid has {list(values)} for {name}; wanted one or more positive numbers")
    combinations = itertools.product(*(sorted(set(map(float, axis))) for axis in axes))
    return [moved(base, dict(zip(AXES, values, strict=True))) for values in combinations]


def moved(crf: FixedCRF, places: Mapping[str, float]) -> FixedCRF:
    """A CRF at other places on some axes."""
    return replace(crf, **dict[str, Any](places))


def numbers(crf: FixedCRF) -> list[float]:
    """The place of a CRF on every axis of the grid."""
    return [getattr(crf, name) for name in AXES]


def first_steps(grid: Grid) -> dict[str, float]:
    """The smallest distance between two values of every axis that has two or more."""
    steps = {}
    for field in fields(grid):
        values = sorted(set(getattr(grid, field.name)))
        if len(values) > 1:
            steps[field.name] = float(min(b - a for a, b in itertools.pairwise(values)))
    return steps


def around(best: FixedCRF, steps: Mapping[str, float]) -> list[FixedCRF]:
    """The neighbors of `best`: one step up and down along each axis, as long as that stays positive."""
    neighbors = [
        moved(best, {name: getattr(best, name) + sign * step}) for name, step in steps.items() for sign in (-1, 1)
    ]
    return [crf for crf in neighbors if min(numbers(crf)) > 0]
