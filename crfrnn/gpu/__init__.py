"""Triton kernels for GPUs: the sums of the lattice and the mean-field loop, a twin of the plain torch code.

Importing this needs neither Triton nor a GPU. `CRFRNN_GPU=torch` switches the kernels off for the whole process. By default
(`CRFRNN_GPU=triton`) they serve CUDA tensors wherever Triton is installed, as it is beside a CUDA build of torch. With
`CRFRNN_GPU=graph` inference also replays its loop as a CUDA graph.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

CHOICES = ("triton", "graph", "torch")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""whether Triton runs its kernels in Python, on CPU tensors, which is for tests; read by Triton when it is imported"""


def choice() -> str:
    """CRFRNN_GPU. Raises ValueError where it is none of CHOICES."""
    chosen = os.environ.get("CRFRNN_GPU", "triton")
    if chosen not in CHOICES:
        raise ValueError(f"the environment variable CRFRNN_GPU is {chosen!r}; wanted one of {', '.join(CHOICES)}")
    return chosen


def runs(like: Tensor) -> bool:
    """Whether the kernels compute with tensors such as this one. Raises ValueError for an unknown CRFRNN_GPU."""
    chosen = choice()
    on_device = like.is_cuda or (INTERPRETED and like.device.type == "cpu")
    return on_device and chosen != "torch" and like.dtype in (torch.float32, torch.float64) and _installed()


@cache
def _installed() -> bool:
    return find_spec("triton") is not None
