"""Triton kernels for GPUs: the sums of the lattice and the mean-field loop, a twin of the plain torch code.

Importing this needs neither Triton nor a GPU. `CRFRNN_GPU=torch` switches the kernels off for the whole process. By default
(`CRFRNN_GPU=triton`) they serve CUDA tensors wherever Triton is installed, as it is beside a CUDA build of torch.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

CHOICES = ("triton", "torch")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""whether Triton runs its kernels in Python, on CPU tensors, which is for tests; read by Triton when it is imported"""


def runs(like: Tensor) -> bool:
    """Whether the kernels compute with tensors such as this one. Raises ValueError for an unknown CRFRNN_GPU."""
    chosen = os.environ.get("CRFRNN_GPU", "triton")
    if chosen not in CHOICES:
        raise ValueError(f"the environment variable CRFRNN_GPU is {chosen!r}; wanted one of {', '.join(CHOICES)}")
    on_device = like.is_cuda or (INTERPRETED and like.device.type == "cpu")
    return on_device and chosen == "triton" and like.dtype in (torch.float32, torch.float64) and _installed()


@cache
def _installed() -> bool:
    return find_spec("triton") is not None
