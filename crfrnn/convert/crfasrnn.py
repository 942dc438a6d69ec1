"""Parameters of the published CRF-RNN, with the signs of its Caffe, Keras or PyTorch version, as a layer, and back."""

from typing import Any, Literal

import torch
from torch import Tensor

from crfrnn._numbers import whole_number
from crfrnn.convert.layer import check_transferable, smoothness_and_appearance, weight_matrices, with_weights
from crfrnn.densecrf.arrays import as_matrix, check_finite
from crfrnn.kernels import appearance_kernel, smoothness_kernel
from crfrnn.meanfield import CRFRNN

Convention = Literal["caffe", "keras", "pytorch"]
# The sign of the compatibility matrix where penalties are positive: "U - mu m" and "U + mu m".
SIGNS = {"caffe": 1.0, "keras": 1.0, "pytorch": -1.0}


def from_crfasrnn(
    spatial: Any, bilateral: Any, compatibility: Any, convention: Convention, *,
    theta_alpha: float = 160.0, theta_beta: float = 3.0, theta_gamma: float = 3.0, num_iterations: int = 10,
) -> CRFRNN:  # fmt: skip
    """The layer for trained parameters of CRF-RNN: spatial_ker_weights, bilateral_ker_weights, compatibility_matrix.

    Args:
        spatial, bilateral, compatibility: [L, L], arrays or tensors.
        convention: the version they come from. "caffe" and "keras" subtract the pair term, and their compatibility starts at
            -I; "pytorch" adds it and starts at +I.

    Kernel weights stay as given; the compatibility becomes a penalty (see `penalty_matrix`). CRF-RNN compares the colors of
    BGR images minus a mean color. Given such an image, the layer finds the labels of the original to the last pixel.
    """
    given = {"spatial": spatial, "bilateral": bilateral, "compatibility": compatibility}
    matrices = [as_matrix(name, value, "[L, L]").cpu() for name, value in given.items()]
    for name, matrix in zip(given, matrices, strict=True):
        check_finite(name, matrix, "the training that made it has diverged")
    num_labels = len(matrices[0])
    if any(matrix.shape != (num_labels, num_labels) for matrix in matrices):
        raise ValueError(f"the parameters have shapes {[list(m.shape) for m in matrices]}; wanted [L, L] three times")
    crf = CRFRNN(
        num_labels,
        [smoothness_kernel(theta_gamma, 1.0), appearance_kernel(theta_alpha, theta_beta, 1.0)],
        whole_number("num_iterations", num_iterations, 0),
        normalization="after",
        kernel_weights="matrix",
        compatibility=penalty_matrix(matrices[2], convention),
    )
    return with_weights(crf, torch.stack(matrices[:2]))


def to_crfasrnn(crf: CRFRNN, convention: Convention) -> dict[str, Tensor | float]:
    """Parameters of CRF-RNN, named as in its Keras and PyTorch versions: matrices [L, L] and bandwidths."""
    check_transferable(crf)
    sign = _sign(convention)
    if crf.normalization != "after":
        raise ValueError(f"normalization is {crf.normalization!r}; CRF-RNN divides after filtering, so wanted 'after'")
    spatial, bilateral = smoothness_and_appearance(crf)
    weights = weight_matrices(crf)
    alpha, beta = crf.bandwidths[bilateral].tolist()
    return {
        "spatial_ker_weights": weights[spatial],
        "bilateral_ker_weights": weights[bilateral],
        "compatibility_matrix": sign * (crf.cell.compatibility.detach().cpu() - 1),
        "theta_alpha": alpha,
        "theta_beta": beta,
        "theta_gamma": float(crf.bandwidths[spatial]),
    }


def penalty_matrix(compatibility: Any, convention: Convention) -> Tensor:
    """The compatibility of a CRF-RNN, -I or +I before training, as a penalty mu [L, L], 1 - I before training.

    The 1 adds the same to all labels of a pixel, which softmax ignores.
    """
    return 1 + _sign(convention) * as_matrix("compatibility", compatibility, "[L, L]")


def _sign(convention: str) -> float:
    if convention not in SIGNS:
        raise ValueError(f"convention is {convention!r}; wanted one of {', '.join(map(repr, SIGNS))}")
    return SIGNS[convention]
