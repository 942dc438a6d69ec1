"""The time of functions that take turns, busy processes beside them, and the peak memory of this process."""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Timing(Generic[Result]):
    """What was measured of several functions, by name: median seconds, number of counted runs, and the first result."""

    seconds: dict[str, float]
    runs: dict[str, int]
    results: dict[str, Result]


def alternate(
    functions: Mapping[str, Callable[[], Result]],
    repeats: int,
    budget: float,
    check: Callable[[Mapping[str, Result]], None] | None = None,
) -> Timing[Result]:
    """Time functions in rounds, one run of each per round, so that all of them see the same drift of the machine.

    Args:
        functions: what to time, by name.
        repeats: number of counted runs of each. The first run does not count.
        budget: seconds. A function that has used up its budget is not run again; if that is after its first run, this
            run counts.
        check: is called with the results of the first round, and may raise.
    """
    clocked: dict[str, list[float]] = {name: [] for name in functions}
    results: dict[str, Result] = {}
    for round_number in range(repeats + 1):
        for name, function in functions.items():
            if round_number and sum(clocked[name]) >= budget:
                continue
            began = time.perf_counter()
            result = function()
            clocked[name].append(time.perf_counter() - began)
            if round_number == 0:
                results[name] = result
        if round_number == 0 and check is not None:
            check(results)
    counted = {name: times[1:] or times for name, times in clocked.items()}
    return Timing(
        {name: statistics.median(times) for name, times in counted.items()},
        {name: len(times) for name, times in counted.items()},
        results,
    )


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many other processes compute without pause inside the `with` block; they end with this process, too."""
    spin = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", spin]))
            stack.callback(process.kill)
        yield


def peak_memory() -> int:
    """The largest resident memory of this process so far, in bytes."""
    # On Linux, ru_maxrss of a process that was just started begins at what its parent held; VmHWM does not.
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
