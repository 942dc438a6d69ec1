"""pydensecrf.eigen: matrices and vectors of floats. Here they are NumPy arrays, which `DenseCRF` takes and returns."""

from typing import Any

import numpy as np

from crfrnn.densecrf.arrays import as_tensor


def matrixXf(arr: Any) -> np.ndarray:
    """A float32 copy of a matrix."""
    return _copy(arr, 2, "[rows, columns]")


def vectorXf(arr: Any) -> np.ndarray:
    """A float32 copy of a vector."""
    return _copy(arr, 1, "[n]")


def MatrixXf() -> np.ndarray:
    """An empty matrix. Scripts pass two of them to `stepInference`."""
    return np.empty((0, 0), np.float32)


def VectorXf() -> np.ndarray:
    """An empty vector."""
    return np.empty(0, np.float32)


def _copy(arr: Any, axes: int, layout: str) -> np.ndarray:
    tensor = as_tensor("arr", arr)
    if tensor.ndim != axes:
        raise ValueError(f"arr has shape {list(tensor.shape)}; wanted {layout}")
    return tensor.cpu().numpy()
