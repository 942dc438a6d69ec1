"""Operations that torch lacks on a device, such as Apple's MPS, computed on the CPU one by one."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

COMPLETE = ("cpu", "cuda")
"""devices on which torch has all that is used here"""
_incomplete: set[str] = set()


def missing_on_cpu(device: torch.device) -> AbstractContextManager[object]:
    """Inside, what torch does not implement on `device` is computed on the CPU; the first such operation warns."""
    return nullcontext() if device.type in COMPLETE else _MissingOnCPU()


class _MissingOnCPU(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            return func(*args, **(kwargs or {}))
        except NotImplementedError:
            device = next((each.device for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)), None)
            if device is None or func._schema.is_mutable:
                raise
            _warn(func.name(), device.type)
            near, options = tree_map_only(Tensor, Tensor.cpu, (args, kwargs or {}))
            return tree_map_only(Tensor, lambda result: result.to(device), func(*near, **options))


def _warn(operation: str, device: str) -> None:
    if device not in _incomplete:
        _incomplete.add(device)
        warnings.warn(
            f"torch {torch.__version__} has no {operation} on {device}; it is computed on the CPU, as is all that is "
            "missing there, which is slow. A newer torch may have it",
            stacklevel=2,
        )
