"""Compiled CPU code: the permutohedral lattice and the fused mean field in C++, compiled on first use.

Importing this compiles nothing. Where no compiler is found the rest of the package warns once and computes with plain torch.
`disabled()` switches to plain torch for a while; the environment variable CRFRNN_NATIVE=0 does so for the whole process.
"""

from __future__ import annotations

import ctypes
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from crfrnn.native.compiler import CompilerError, library_path

__all__ = ["disabled", "library"]

_REALS = {torch.float32: "float", torch.float64: "double"}
_libraries: dict[torch.dtype, ctypes.CDLL | None] = {}
_lock = threading.Lock()
_switched_off = threading.local()


def library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The compiled code for numbers of this type, or None where there is none or it is switched off."""
    if getattr(_switched_off, "depth", 0) or os.environ.get("CRFRNN_NATIVE") == "0" or dtype not in _REALS:
        return None
    if dtype not in _libraries:
        with _lock:
            if dtype not in _libraries:
                _libraries[dtype] = _load(_REALS[dtype])
    return _libraries[dtype]


@contextmanager
def disabled() -> Iterator[None]:
    """Compute with plain torch inside the `with` block, in this thread."""
    _switched_off.depth = getattr(_switched_off, "depth", 0) + 1
    try:
        yield
    finally:
        _switched_off.depth -= 1


def _compute_alone() -> None:
    """In a forked child there are none of the threads that GNU OpenMP, in torch as here, would wait for without end."""
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_compute_alone)


def _open(real: str) -> ctypes.CDLL:
    """The library, compiled once more where the one in the cache does not load."""
    try:
        return ctypes.CDLL(str(library_path(real)))
    except OSError:
        return ctypes.CDLL(str(library_path(real, rebuild=True)))


def _load(real: str) -> ctypes.CDLL | None:
    try:
        loaded = _open(real)
    except (CompilerError, OSError) as error:
        warnings.warn(
            f"the compiled CPU code is not available ({error}); computing with plain torch, which gives the same results "
            "several times slower. Install a C++ compiler, for example `apt install g++`, or set CRFRNN_NATIVE=0 to "
            "silence this",
            stacklevel=2,
        )
        return None
    for name in ("native_build", "native_term", "native_pixel_term", "native_pairwise"):
        getattr(loaded, name).restype = ctypes.c_void_p
    for name in ("native_step", "native_divergence"):
        getattr(loaded, name).restype = ctypes.c_bool
    loaded.native_mean_field.restype = ctypes.c_int64
    return loaded
