"""A convolutional network and a fully connected CRF that are one network: mean field as recurrent torch layers.

The names below are imported where they are first used, so that a command answers `--help` before torch is loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crfrnn.kernels import Kernel, appearance_kernel, feature_kernel, grid_kernel, smoothness_kernel
    from crfrnn.meanfield import CRFRNN, MeanFieldCell
    from crfrnn.refinement import refine
    from crfrnn.state import MeanFieldState, residual

__version__ = "0.1.0"

__all__ = [
    "CRFRNN",
    "Kernel",
    "MeanFieldCell",
    "MeanFieldState",
    "appearance_kernel",
    "feature_kernel",
    "grid_kernel",
    "refine",
    "residual",
    "smoothness_kernel",
]

_HOMES = {
    "CRFRNN": "meanfield",
    "MeanFieldCell": "meanfield",
    "MeanFieldState": "state",
    "refine": "refinement",
    "residual": "state",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"crfrnn.{_HOMES.get(name, 'kernels')}"), name)
    if name == "native":  # for crfrnn.native.disabled()
        return import_module("crfrnn.native")
    raise AttributeError(f"module 'crfrnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
