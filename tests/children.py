"""Child processes, started from one that has imported the project and its libraries once."""

import multiprocessing
import os
import signal
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess

PRELOADED = ["train.stages", "eval.tuning.ablation_report"]  # commands import these after reading their options


@cache
def server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def result(child: BaseProcess) -> int | None:
    """Its exit code, or minus the number of the signal that ended it."""
    child.join(120)
    return child.exitcode


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
