"""Medians of interleaved runs, on a clock that only the functions move; busy processes beside them."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from eval.bench import timing as bench_timing
from eval.bench.timing import alternate, busy_processes


class Clock:
    """Functions that take the given seconds, one after the other, and note their names."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def function(self, name: str, seconds: list[float]) -> Callable[[], int]:
        left = iter(seconds)

        def run() -> int:
            self.now += next(left)
            self.calls.append(name)
            return len(self.calls)

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(bench_timing.time, "perf_counter", lambda: made.now)
    return made


def test_medians_of_runs_in_turn(clock: Clock) -> None:
    functions = {"a": clock.function("a", [9, 1, 5, 3]), "b": clock.function("b", [1, 2, 2, 8])}
    timing = alternate(functions, repeats=3, budget=100)
    assert clock.calls == ["a", "b"] * 4
    assert timing.seconds == {"a": 3, "b": 2}
    assert timing.runs == {"a": 3, "b": 3}
    assert timing.results == {"a": 1, "b": 2}


def test_a_slow_function_stops_and_keeps_its_first_run(clock: Clock) -> None:
    functions = {"slow": clock.function("slow", [20]), "quick": clock.function("quick", [6, 4, 2])}
    timing = alternate(functions, repeats=3, budget=10)
    assert timing.seconds == {"slow": 20, "quick": 4}
    assert timing.runs == {"slow": 1, "quick": 1}


def test_the_check_comes_before_the_second_round(clock: Clock) -> None:
    def check(results: dict[str, int]) -> None:
        raise ValueError(f"seen {results}")

    with pytest.raises(ValueError, match=r"seen \{'a': 1\}"):
        alternate({"a": clock.function("a", [1, 1])}, 1, 10, check)
    assert clock.calls == ["a"]


def test_busy_processes_run_inside_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(bench_timing.subprocess, "Popen", Noted)
    with busy_processes(2):
        assert [process.poll() for process in started] == [None, None]
    assert all(process.returncode for process in started)
