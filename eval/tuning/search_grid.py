"""Where a coarse-to-fine search looks: first a grid, then around the best cell in smaller and smaller steps."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple


class Cell(NamedTuple):
    """Parameters of a fixed dense CRF: appearance (w, pixels, gray levels) and smoothness (w, pixels)."""

    w: float
    theta_alpha: float
    theta_beta: float
    smoothness_w: float
    theta_gamma: float

    def __str__(self) -> str:
        w, alpha, beta, smoothness, gamma = (f"{value:g}" for value in self)
        return f"w {w}, {alpha}, {beta}; w {smoothness}, {gamma}"


@dataclass(frozen=True)
class Grid:
    """The first round: every combination of these, by default DeepLab's. What has one value is not searched."""

    w: tuple[float, ...] = (5, 10)
    """weights of the appearance kernel"""
    theta_alpha: tuple[float, ...] = (50, 60, 70, 80, 90, 100)
    """appearance kernel: pixels"""
    theta_beta: tuple[float, ...] = (3, 4, 5, 6, 7, 8, 9, 10)
    """appearance kernel: gray levels of 0..255"""
    smoothness_w: tuple[float, ...] = (3,)
    """weights of the smoothness kernel"""
    theta_gamma: tuple[float, ...] = (3,)
    """smoothness kernel: pixels"""


def first_round(grid: Grid) -> list[Cell]:
    """All cells of the grid. Raises ValueError where an axis is empty or has a value that is not positive."""
    axes = [getattr(grid, field.name) for field in fields(grid)]
    for name, values in zip(Cell._fields, axes, strict=True):
        if not values or min(values) <= 0:
            raise ValueError(f"the grid has {list(values)} for {name}; wanted one or more positive numbers")
    return [Cell(*map(float, values)) for values in itertools.product(*(sorted(set(axis)) for axis in axes))]


def first_steps(grid: Grid) -> dict[str, float]:
    """The smallest distance between two values of every axis that has two or more."""
    steps = {}
    for field in fields(grid):
        values = sorted(set(getattr(grid, field.name)))
        if len(values) > 1:
            steps[field.name] = float(min(b - a for a, b in itertools.pairwise(values)))
    return steps


def around(best: Cell, steps: Mapping[str, float]) -> list[Cell]:
    """The neighbors of `best`: one step forth and back along each axis, as long as that stays positive."""
    moved = [
        best._replace(**{name: getattr(best, name) + sign * step}) for name, step in steps.items() for sign in (-1, 1)
    ]
    return [cell for cell in moved if min(cell) > 0]
