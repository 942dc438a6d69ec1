"""The one place that imports torchvision.

The wheel on the package index is compiled against CUDA. Beside a CPU build of torch its compiled part does not load,
and `import torchvision` then stops at "operator torchvision::nms does not exist", because its Python part describes
that operator without having defined it. Declaring the two schemas it misses is enough: transforms are plain torch.
"""

import contextlib
import importlib.util
from importlib.machinery import PathFinder

import torch


def _load_compiled_operators() -> None:
    """Load torchvision's own operators if they load at all, as its import is going to do.

    They must come first: a schema declared here would clash with the real one, and a working install would break.
    """
    package = importlib.util.find_spec("torchvision")
    if package is None:
        return
    extension = PathFinder.find_spec("_C", package.submodule_search_locations)
    if extension is not None and extension.origin is not None:
        with contextlib.suppress(OSError):  # raised where it was compiled for another torch
            torch.ops.load_library(extension.origin)


def _declare_missing_operators() -> None:
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


_load_compiled_operators()
_declare_missing_operators()

import torchvision  # noqa: E402
from torchvision import tv_tensors  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

__all__ = ["torchvision", "tv_tensors", "v2"]
