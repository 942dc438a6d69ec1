"""Turn the numbers and devices that callers pass into Python's and torch's, or raise an error that names the argument."""

import math
import operator
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

LARGEST = 2**31 - 1


def whole_number(name: str, value: Any, least: int, most: int = LARGEST) -> int:
    """`value` as an int; 5.0 counts as 5. Raises TypeError unless it is whole, ValueError if it is out of bounds."""
    try:
        floating = isinstance(value, float | np.floating)
        number = int(value) if floating and value.is_integer() else operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; wanted a whole number") from None
    if number < least:
        raise ValueError(f"{name} is {number}; wanted a whole number of at least {least}")
    if number > most:
        raise ValueError(f"{name} is {number}; wanted a whole number of at most {most}")
    return number


def real_number(name: str, value: Any) -> float:
    """`value` as a float. Raises TypeError unless it is one real number, ValueError if it is too large for a float."""
    if isinstance(value, np.ndarray | Tensor) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}; wanted one real number")
    try:
        return float(value)
    except OverflowError:
        digits = int(math.log10(abs(value))) + 1
        raise ValueError(f"{name} has {digits} digits; wanted a number that a float holds, below 1e308") from None


def usable_device(device: str | torch.device | None) -> torch.device | None:
    """`device` as torch's, None for none. Raises ValueError where torch cannot compute there."""
    if device is None:
        return None
    try:
        found = torch.zeros(0, device=device).device
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"device is {device!r}, which torch cannot use ({reason}); wanted 'cpu' or 'cuda'") from error
    if found.type == "meta":
        raise ValueError("device is 'meta', which holds no numbers; wanted 'cpu' or 'cuda'")
    return found


def check_message_tolerance(message_tolerance: float) -> None:
    """Raise unless `message_tolerance` is a finite number of at least 0."""
    if not isinstance(message_tolerance, Real) or not 0 <= message_tolerance < math.inf:
        raise ValueError(
            f"message_tolerance is {message_tolerance!r}; wanted a change of logits of at least 0, for example 0.01, or 0 "
            "to update every pixel in every iteration"
        )
