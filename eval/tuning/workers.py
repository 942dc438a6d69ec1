"""A function over many tasks in several processes, each with one thread."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, TypeVar

import torch

Task = TypeVar("Task")
Result = TypeVar("Result")

_function: Callable[[Any], Any] | None = None  # of a worker


class Workers(Generic[Task, Result]):
    """Processes that know `function`; with a count of one, this process. To be used in a `with` statement.

    `function` goes to every process once, so that what it keeps between tasks (files it has read) stays there.

    Raises ValueError for a count below one.
    """

    def __init__(self, function: Callable[[Task], Result], count: int) -> None:
        if count < 1:
            raise ValueError(f"the number of worker processes is {count}; wanted 1 or more")
        self._function = function
        self._pool: ProcessPoolExecutor | None = None
        if count > 1:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(count, context, _prepare, (function,))

    def __enter__(self) -> "Workers[Task, Result]":
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, tasks: Iterable[Task]) -> Iterator[Result]:
        """The results as they come; of one process in order.

        Raises what `function` raises, and ChildProcessError where a process was killed.
        """
        if self._pool is None:
            yield from map(self._function, tasks)
            return
        try:
            for future in as_completed([self._pool.submit(_call, task) for task in tasks]):
                yield future.result()
        except BrokenProcessPool as error:
            raise ChildProcessError(
                "a worker process was killed, perhaps for want of memory; run the command again, with fewer workers"
            ) from error


def _prepare(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its pool
    threading.Thread(target=_die_with_the_parent, daemon=True).start()


def _call(task: Any) -> Any:
    assert _function is not None
    return _function(task)


def _die_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
