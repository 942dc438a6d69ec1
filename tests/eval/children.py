"""Commands of eval in child processes."""

import importlib
import os
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

from tests.children import die, result, server


def start(main: str, argv: list[str]) -> BaseProcess:
    """`main` ("module:function") with `argv` in a child that prints nothing."""
    child = server().Process(target=_call, args=(main, argv))
    child.start()
    return child


def killed_after(main: str, argv: list[str], patched: str, calls: int) -> int | None:
    """Run `main` ("module:function") in a child that kills itself after `calls` calls of `patched` ("module:class.method").

    Returns the exit code of the child.
    """
    child = server().Process(target=_run, args=(main, argv, patched, calls))
    child.start()
    return result(child)


def _run(main: str, argv: list[str], patched: str, calls: int) -> None:
    module, _, name = patched.partition(":")
    *path, attribute = name.split(".")
    owner: Any = importlib.import_module(module)
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, attribute, _counted(getattr(owner, attribute), calls))
    _call(main, argv)


def _call(main: str, argv: list[str]) -> None:
    import torch

    torch.set_num_threads(1)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 the child ends with it
    module, _, name = main.partition(":")
    sys.exit(getattr(importlib.import_module(module), name)(argv))


def _counted(function: Callable, calls: int) -> Callable:
    done = 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal done
        value = function(*args, **kwargs)
        done += 1
        if done == calls:
            die()
        return value

    return counted
