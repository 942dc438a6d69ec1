"""The arguments of `CRFRNN` that choose a solver: what they are by default, and which make sense together."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from crfrnn.checks import check_choice

DEFAULTS: dict[str, Any] = {
    "solver": "mean_field",
    "damping": 0.0,
    "regularizer": "l2",
    "regularizer_weight": 1.0,
    "step": 1.0,
    "gradient": "unrolled",
}
_OF_FRANK_WOLFE = ("regularizer", "regularizer_weight", "step")


def check_solver(chosen: dict[str, Any]) -> None:
    """Raise for arguments that make no sense, or belong to another solver; `chosen` has the names of DEFAULTS."""
    check_choice("solver", chosen["solver"], ("mean_field", "frank_wolfe"))
    check_choice("regularizer", chosen["regularizer"], ("l2", "entropy"))
    check_choice("gradient", chosen["gradient"], ("unrolled", "implicit"))
    damping, weight, step = (chosen[name] for name in ("damping", "regularizer_weight", "step"))
    if damping != "auto" and not (_is_number(damping) and 0 <= damping < 1):
        raise ValueError(
            f"damping is {damping!r}; wanted the share of the old logits that stays, at least 0 and below 1, or 'auto'"
        )
    if not (_is_number(weight) and 0 < weight < math.inf):
        raise ValueError(f"regularizer_weight is {weight!r}; wanted a finite number above 0")
    if step not in ("standard", "line_search") and not (_is_number(step) and 0 < step <= 1):
        raise ValueError(f"step is {step!r}; wanted a number above 0 and at most 1, 'standard' or 'line_search'")
    frank_wolfe = chosen["solver"] == "frank_wolfe"
    others = ("damping", "gradient") if frank_wolfe else _OF_FRANK_WOLFE
    for name in others:
        if chosen[name] != DEFAULTS[name]:
            other = "mean_field" if frank_wolfe else "frank_wolfe"
            raise ValueError(f"{name} is {chosen[name]!r} with solver={chosen['solver']!r}; it belongs to {other!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
