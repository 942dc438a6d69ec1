"""CRF-RNN as published (Zheng et al. 2015): its pair term with our signs, and the file `crfasrnn_weights.pth`.

Both published codes start from logits U, filter the beliefs with a spatial and a bilateral kernel, S and B, weigh them
with matrices over labels, and combine:

    Caffe       x = U - mu (W_s S + W_b B),    mu starts at -I
    PyTorch     x = U + C (W_s S + W_b B),     C starts at +I
    here        x = U - mu (W_s S + W_b B),    mu starts at 1 - I, a penalty

so that mu here is 1 + mu of Caffe, or 1 - C. The 1 adds the same to all labels of a pixel, which softmax does not see.
The bandwidths are constants there: theta_alpha 160, theta_beta 3, theta_gamma 3, as `CRFRNN` has them. The kernels look
at the input of the network, BGR minus a mean color; `CRFOnBGR` does so, too.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from crfrnn.convert import Convention, penalty_matrix
from crfrnn.nets.bgr import CRFOnBGR
from crfrnn.nets.vgg import MEAN_RGB
from crfrnn.nets.weights.imagenet import CAFFE_MEAN_BGR
from crfrnn.nets.weights.mapping import Entry, SourceFile, entry, to_rgb

PAIR_TERM = ("crfrnn.spatial_ker_weights", "crfrnn.bilateral_ker_weights", "crfrnn.compatibility_matrix")
THETAS = ("crf.initial_bandwidths_0", "crf.initial_bandwidths_1", "crf.log_bandwidth_scales")
"""Parameters of ours that the published files do not hold."""

ITERATIONS = 10
"""T of the published network at test time."""


def is_crfasrnn(state: dict[str, Tensor]) -> bool:
    """Whether a state dict is one of crfasrnn_pytorch, though perhaps not a whole one."""
    return any(name in state for name in PAIR_TERM)


def read_crfasrnn(state: dict[str, Tensor]) -> SourceFile:
    """The content of `crfasrnn_weights.pth`, an FCN-8s with the CRF-RNN on top.

    The network saw BGR images minus `CAFFE_MEAN_BGR`. Raises ValueError where a matrix of the pair term is missing or has a
    shape that cannot be right.
    """
    if missing := [name for name in PAIR_TERM if name not in state]:
        raise ValueError(f"the pair term lacks {', '.join(missing)}; wanted a whole crfasrnn_weights.pth")
    entries = [entry(name, f"network.{name}", tensor) for name, tensor in state.items() if name not in PAIR_TERM]
    to_rgb(entries, CAFFE_MEAN_BGR[::-1], MEAN_RGB)
    pair = pair_term({name: state[name] for name in PAIR_TERM}, "pytorch")
    return SourceFile(
        "CRF-RNN for PyTorch", entries + pair, "fcn-8s", crf=published_settings(CAFFE_MEAN_BGR), assumed=THETAS
    )


def pair_term(tensors: dict[str, Tensor], convention: Convention) -> list[Entry]:
    """Kernel weights and compatibility of a published CRF-RNN as `CRFRNN(..., kernel_weights="matrix")` has them.

    Args:
        tensors: spatial weights, bilateral weights and compatibility, in this order and by the names of their file, with
            L * L numbers each: [L, L], or [1, 1, L, L] as in Caffe.
        convention: whose signs the file has, see `crfrnn.convert.from_crfasrnn`.

    Raises ValueError where they are no square matrices of one size.
    """
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if not is_pair_term(list(tensors.values())):
        raise ValueError(f"a CRF-RNN with {shapes}; wanted three matrices of one size, labels x labels")
    spatial, bilateral, compatibility = (tensor.float().reshape(tensor.shape[-2:]) for tensor in tensors.values())
    *weights, last = tensors
    penalty = penalty_matrix(compatibility, convention)
    formula = "1 - it" if convention == "pytorch" else "1 + it"
    return [
        Entry(
            {name: shapes[name] for name in weights},
            "crf.cell.kernel_weights",
            torch.stack([spatial, bilateral]),
            ["stacked"],
        ),
        Entry({last: shapes[last]}, "crf.cell.compatibility", penalty, [f"{formula}: a penalty that is subtracted"]),
    ]


def is_pair_term(tensors: list[Tensor]) -> bool:
    """Whether these are the three matrices of a CRF-RNN, going by their shapes."""
    sides = [tensor.shape[-2:] for tensor in tensors if tensor.ndim >= 2 and tensor.numel() == tensor.shape[-1] ** 2]
    return len(tensors) == len(sides) == 3 and len({size for side in sides for size in side}) == 1


def published_settings(mean_bgr: Sequence[float]) -> dict[str, Any]:
    """The settings of the CRF as published, on the input of its network; the number of labels is to be replaced."""
    return CRFOnBGR(num_labels=2, num_iterations=ITERATIONS, kernel_weights="matrix", mean_bgr=mean_bgr).settings()
