"""What the conversions read from a layer or write to it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from crfrnn.kernels import IMAGE
from crfrnn.meanfield import CRFRNN


def with_weights(crf: CRFRNN, weights: Tensor) -> CRFRNN:
    with torch.no_grad():
        crf.cell.kernel_weights.copy_(weights)
    return crf


def check_transferable(crf: CRFRNN) -> None:
    if not isinstance(crf, CRFRNN):
        raise TypeError(f"got a {type(crf).__name__}; wanted a CRFRNN, such as model.crf")
    if crf.exclude_self:
        raise ValueError("the layer has exclude_self=True; other CRFs keep the message of a pixel to itself")
    if crf.solver != "mean_field" or crf.damping != 0:
        raise ValueError(
            f"the layer has solver={crf.solver!r} and damping={crf.damping!r}; other CRFs do undamped mean field"
        )
    if any(bool(scale.any()) for scale in crf.log_side_scales):
        raise ValueError("the layer has learned the blur of its lattices; other CRFs have that of a Gaussian")
    for kernel in crf.kernels:
        if kernel.theta_position is None or kernel.guide not in (None, IMAGE):
            raise ValueError(f"{kernel} is neither a smoothness nor an appearance kernel, so it has no counterpart")


def smoothness_and_appearance(crf: CRFRNN) -> tuple[int, int]:
    """The indices of the one smoothness and the one appearance kernel."""
    guides = [kernel.guide for kernel in crf.kernels]
    if sorted(guides, key=str) != [None, IMAGE]:
        raise ValueError(f"the kernels look at {guides}; wanted one smoothness and one appearance kernel")
    for kernel in crf.kernels:
        if isinstance(kernel.theta_position, tuple) or isinstance(kernel.theta_guide, tuple):
            raise ValueError(f"{kernel} has a bandwidth for each axis or channel; the other CRF has one for all")
    return guides.index(None), guides.index(IMAGE)


def weight_matrices(crf: CRFRNN) -> Tensor:
    """Kernel weights as matrices over labels [M, L, L]."""
    weights = crf.cell.kernel_weights.detach().cpu()
    if weights.ndim == 1:
        weights = weights[:, None].expand(-1, crf.num_labels)
    return weights.clone() if weights.ndim == 3 else torch.diag_embed(weights)


def penalties_of(crf: CRFRNN) -> Tensor:
    """mu W_m [M, L, L]."""
    return crf.cell.compatibility.detach().cpu() @ weight_matrices(crf)


def compat_of(matrix: Tensor) -> float | np.ndarray:
    """The simplest compat of pydensecrf that gives the beliefs of a penalty [L, L]."""
    matrix = matrix.double()
    tolerance = 1e-5 * max(float(matrix.abs().max()), 1e-30)
    skew = matrix - matrix.T
    shift = skew.mean(1)  # the v for which C + 1 v^T is symmetric, where there is one
    if ((skew - shift[:, None] + shift).abs() > tolerance).any():
        raise ValueError(
            "the penalty mu W is not symmetric, not even up to a constant of each pixel; pydensecrf would take its "
            "symmetric part, which is another model"
        )
    symmetric = matrix + shift
    others = symmetric[~torch.eye(len(matrix), dtype=torch.bool)]
    if (others - others[0]).abs().max() > tolerance:
        return ((symmetric + symmetric.T) / 2).float().numpy()
    diagonal = symmetric.diag() - others[0]
    if (diagonal - diagonal[0]).abs().max() > tolerance:
        return diagonal.float().numpy()
    return -float(diagonal[0])
