"""What a property is, and how its cases are run and counted."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.strategies import SearchStrategy

REFUSED, RIGHT = "refused", "right"


@dataclass(frozen=True)
class Property:
    """`check(case)` says REFUSED or RIGHT of a case that was drawn from `cases`; where it is neither, it raises."""

    name: str
    cases: SearchStrategy[Any]
    check: Callable[[Any], str]

    def run(
        self,
        examples: int,
        seed: int = 0,
        note: Callable[[Any], None] = lambda case: None,
        counts: Counter[str] | None = None,
    ) -> Counter[str]:
        """Check so many cases, and count what was said of them; a wrong one is shrunk and raised.

        Args:
            note: called with every case before it is checked.
            counts: what was counted before, to be added to.
        """
        counts = Counter() if counts is None else counts

        @seeded(seed)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(self.cases)
        def check_one(case: Any) -> None:
            note(case)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                counts[self.check(case)] += 1

        check_one()
        return counts


def answer_or_refusal(
    function: Callable[[], Any], refusals: tuple[type[Exception], ...] = (ValueError, TypeError)
) -> tuple[Any, Exception | None]:
    """What the call returns, or the error of these types with which it refuses; a refusal has to say something."""
    try:
        return function(), None
    except refusals as error:
        refusal = error
    assert len(str(refusal)) > 10, f"a refusal without words: {refusal!r}"
    return None, refusal
