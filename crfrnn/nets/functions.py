"""Functions of the user's that make networks: named on a command line, and imported only from there."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch.nn as nn


def is_own(name: str) -> bool:
    """Whether a network's name is that of a function of the user's."""
    return ":" in name


class NetworkFunction:
    """A function of yours that makes a module of `num_labels` labels, as FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION.

    `name` is what checkpoints record: that, for a file without its folder. Nothing is imported before `make` is called.
    Raises ValueError where `given` is of another form.
    """

    def __init__(self, given: str) -> None:
        self.given = given
        self.place, _, self.function = given.rpartition(":")
        self.is_file = self.place.endswith(".py")
        parts = [self.function] if self.is_file else [self.function, *self.place.split(".")]
        if not all(part.isidentifier() for part in parts):
            raise ValueError(f"the network is {given!r}; wanted FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION")
        self.name = f"{Path(self.place).name}:{self.function}" if self.is_file else given

    def make(self, num_labels: int) -> nn.Module:
        """A new module. Raises OSError, ImportError or ValueError, with the name in it, where that does not work."""
        function = self.load()
        try:
            module = function(num_labels)
        except Exception as error:  # whatever the code of others raises
            raise ValueError(
                f"the network {self.given} could not be made for {num_labels} labels ({describe(error)})"
            ) from error
        if not isinstance(module, nn.Module):
            raise ValueError(f"the network {self.given} gave a {type(module).__name__}; wanted a torch.nn.Module")
        return module

    def load(self) -> Callable[[int], Any]:
        """Import the function. Raises OSError, ImportError or ValueError, saying what is missing."""
        from crfrnn import _torchvision  # noqa: F401 - so that the code of others can import torchvision

        try:
            module = load_file(Path(self.place).resolve()) if self.is_file else importlib.import_module(self.place)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"the network {self.given}: {describe(error)}") from error
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"the network {self.given} cannot be imported: there is no module {error.name}; install it, or run the "
                "command in the folder that holds it"
            ) from error
        except Exception as error:  # whatever the code of others raises
            raise ValueError(f"the network {self.given} cannot be imported ({describe(error)})") from error
        function = getattr(module, self.function, None)
        if not callable(function):
            there = sorted(name for name, value in vars(module).items() if callable(value) and name[0] != "_")
            raise ValueError(
                f"the network {self.given}: {self.place} has no function {self.function}; "
                f"it has {', '.join(there) or 'none'}"
            )
        return function


@cache
def load_file(path: Path) -> ModuleType:
    """The module in a file, loaded once."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    name = f"crfrnn_network_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def describe(error: Exception) -> str:
    """An error of the code of others in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
