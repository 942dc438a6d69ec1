"""A convolutional network and a fully connected CRF that are one network: mean field as recurrent torch layers."""

from crfrnn.kernels import Kernel, appearance_kernel, feature_kernel, grid_kernel, smoothness_kernel
from crfrnn.meanfield import CRFRNN, MeanFieldCell
from crfrnn.state import MeanFieldState

__version__ = "0.1.0"

__all__ = [
    "CRFRNN",
    "Kernel",
    "MeanFieldCell",
    "MeanFieldState",
    "appearance_kernel",
    "feature_kernel",
    "grid_kernel",
    "smoothness_kernel",
]


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
