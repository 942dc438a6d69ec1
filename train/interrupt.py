"""SIGTERM and Ctrl-C: at once where nothing can be lost, else as soon as the step is done."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """The run was asked to stop by signal number `number`."""

    def __init__(self, number: int, where: str = "") -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}{where}")
        self.number = number

    @property
    def exit_code(self) -> int:
        return 128 + self.number


class Stop:
    """Turns the first SIGTERM or SIGINT into `Interrupted`.

    Inside `deferred` it is only noted in `number`, for the code there to look at when it can stop. A second Ctrl-C ends
    the process at once, unless torchrun, which sends one of its own, looks after it (`patient`).
    """

    def __init__(self, patient: bool = False) -> None:
        self.number: int | None = None
        self._patient = patient
        self._deferred = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Handle the signals meanwhile."""
        before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Note a signal meanwhile instead of raising."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    @contextmanager
    def raising(self) -> Iterator[None]:
        """The reverse: inside `deferred`, a part that may be left at any time."""
        before, self._deferred = self._deferred, False
        try:
            self.check()
            yield
        finally:
            self._deferred = before

    def check(self) -> None:
        """Raise Interrupted where a signal has been noted."""
        if self.number is not None:
            raise Interrupted(self.number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self.number = self.number is not None, number
        if again and number == signal.SIGINT and not self._patient:
            raise KeyboardInterrupt
        if not self._deferred and not again:
            raise Interrupted(number)


def ignore_signals(worker: int) -> None:
    """For processes that read images: what goes to a whole group of processes must not take them from under a step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def end_readers() -> None:
    """At the end of the process, end those that read images: they ignore the signal that Python would wait for them on."""
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch reports every reader that is killed
    for child in multiprocessing.active_children():
        child.kill()
