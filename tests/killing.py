"""A command that is killed at random moments and started again."""

import random
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess

from tqdm import tqdm

LIMIT = 1800  # seconds for everything


def kill(start: Callable[[], BaseProcess], count: int, within: float, after: Callable[[], None] | None = None) -> int:
    """Start a command until it is complete, killing it `count` times at most; returns how often it was killed.

    Args:
        start: starts the command, or continues it.
        count: after so many kills it is left alone.
        within: seconds from its start; the moments are uniform in them.
        after: called after every kill, to look at what the command leaves.
    """
    killed, deadline = 0, time.monotonic() + LIMIT
    with tqdm(total=count, desc="kills", unit="kill") as bar:
        while time.monotonic() < deadline:
            child = start()
            child.join(random.uniform(0, within) if killed < count else None)
            if child.exitcode is None:
                child.kill()
                child.join()
                killed += 1
                bar.update()
                if after is not None:
                    after()
            elif child.exitcode:
                raise RuntimeError(f"the command ended with {child.exitcode} after {killed} kills")
            else:
                return killed
    raise TimeoutError(f"not through after {LIMIT} seconds")
