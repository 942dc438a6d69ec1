"""Operators of torch that compiled CPU code computes, with what tracing and autograd know of them.

`torch.library.custom_op` would do the same, but imports the compiler of torch on the first call, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def operator(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Makes a function on the CPU the operator `crfrnn::name`; the types of its arguments are the schema."""

    def register(compute: Callable[..., Any]) -> Any:
        schema = torch.library.infer_schema(compute, mutates_args=())
        torch.library.define(f"crfrnn::{name}", schema, tags=torch.Tag.pt2_compliant_tag)
        torch.library.impl(f"crfrnn::{name}", "cpu", compute)
        return getattr(torch.ops.crfrnn, name).default

    return register
