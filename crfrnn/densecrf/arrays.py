"""Turn what callers pass into tensors and numbers, or raise an error that names the argument."""

import sys
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crfrnn.lattice.checks import all_finite

# What is divided by a smaller one may overflow in float32.
SMALLEST_BANDWIDTH = 1e-30


def as_tensor(name: str, value: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    """A contiguous copy of `value` that carries no gradient, on the device where it is; arrays become CPU tensors.

    `name` is that of the argument, for errors. Raises TypeError or ValueError unless all of it is real numbers.
    """
    if isinstance(value, Tensor):
        _check_tensor(name, value)
        return value.detach().to(dtype, copy=True, memory_format=torch.contiguous_format)
    try:
        array = np.asanyarray(value)
    except ValueError:
        raise ValueError(
            f"{name} is a {type(value).__name__} whose rows differ in length; wanted rows of one length"
        ) from None
    if array.dtype.kind not in "biuf":
        came = f"an array of {array.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        raise TypeError(f"{name} is {came}; wanted an array or tensor of real numbers")
    if isinstance(array, np.ma.MaskedArray) and array.mask.any():
        raise ValueError(
            f"{name} is a masked array with {int(array.mask.sum())} masked entries; a CRF needs every value, so fill them "
            f"first: {name}.filled(...)"
        )
    # Converted by numpy: torch does not know all of its types, nor read-only and reversed arrays.
    return torch.from_numpy(np.array(array, str(dtype).removeprefix("torch."), order="C"))


def _check_tensor(name: str, value: Tensor) -> None:
    if value.is_complex():
        raise TypeError(f"{name} is complex; wanted real numbers: {name}.real or {name}.abs()")
    if value.is_nested or value.is_meta or value.is_quantized or value.layout != torch.strided:
        kinds = {"nested": value.is_nested, "meta": value.is_meta, "quantized": value.is_quantized}
        kind = next((kind for kind, holds in kinds.items() if holds), "sparse")
        raise TypeError(f"{name} is a {kind} tensor; wanted an ordinary dense tensor")


def as_matrix(name: str, value: Any, layout: str) -> Tensor:
    """`value` as a float32 matrix; errors call its axes `layout`. Raises ValueError for another number of axes."""
    tensor = as_tensor(name, value)
    if tensor.ndim != 2:
        hint = ": flatten the pixels with reshape" if tensor.ndim > 2 else ""
        raise ValueError(f"{name} has shape {list(tensor.shape)}; wanted {layout}{hint}")
    return tensor


def check_finite(name: str, tensor: Tensor, hint: str) -> None:
    """Raise ValueError where `tensor` holds NaN or infinite entries."""
    if not all_finite(tensor):
        raise ValueError(f"{name} holds NaN or infinite entries; {hint}")


def bandwidths(name: str, value: Any, count: int) -> list[float]:
    """`count` standard deviations, from one number for all of them or one for each.

    As in pydensecrf, surplus numbers are ignored; a warning, attributed to the caller of the caller, says so. Raises
    ValueError for too few numbers, and unless all are positive and finite.
    """
    given = standard_deviations(name, value)
    if isinstance(given, float):
        return [given] * count
    if len(given) < count:
        raise ValueError(f"{name} is {value!r}; wanted one number, or {count}: one for each axis or channel")
    if len(given) > count:
        _warn_of_count(name, value, count, f"the first {count} are used")
    return given[:count]


def leading_bandwidths(name: str, value: Any, count: int, hint: str = "") -> list[float]:
    """Like `bandwidths`, but too few numbers get the warning and too many raise ValueError.

    As in pydensecrf, axes or channels without a number stay undivided. `hint` is appended to both messages.
    """
    given = standard_deviations(name, value)
    if isinstance(given, float):
        return [given] * count
    if len(given) > count:
        raise ValueError(f"{name} is {value!r}; wanted one number, or {count}: one for each axis or channel{hint}")
    if len(given) < count:
        _warn_of_count(name, value, count, f"those without a number stay undivided{hint}")
    return given + [1.0] * (count - len(given))


def standard_deviations(name: str, value: Any) -> float | list[float]:
    """One number or several. Raises ValueError unless all are positive and finite."""
    if isinstance(value, int | float):
        numbers, several = [value], False
    else:
        tensor = as_tensor(name, value.cpu() if isinstance(value, Tensor) else value, torch.float64)
        numbers, several = tensor.flatten().tolist(), tensor.ndim > 0
    if not all(SMALLEST_BANDWIDTH <= number <= sys.float_info.max for number in numbers):
        raise ValueError(f"{name} (a standard deviation) is {value!r}; wanted finite numbers above 0 (at least 1e-30)")
    return numbers if several else float(numbers[0])


def _warn_of_count(name: str, value: Any, count: int, what: str) -> None:
    warnings.warn(
        f"{name} is {value!r} for {count} axes or channels; {what}. Pass one number, or one for each", stacklevel=4
    )


def same_kind(tensor: Tensor, *given: Any) -> np.ndarray | Tensor:
    """`tensor` itself if any of `given` is a tensor, otherwise its array."""
    return tensor if any(isinstance(value, Tensor) for value in given) else tensor.numpy()
