"""Parameters of other dense CRFs as a `CRFRNN`, and back: pydensecrf, CRF-RNN (Caffe, Keras, PyTorch) and ConvCRF.

What makes beliefs equal is this. A penalty C [L, L] acts as P_i = C m_i on the message m_i. Softmax ignores what is added
to all labels of a pixel, so that C and C + 1 v^T, for any vector v, are the same model: sum_l' v(l') m_i(l') has no l in
it. Potts as a reward, -w I, and as a penalty, w (1 - I), differ by w 1 1^T and are therefore equal, whatever the
normalization; and so are CRF-RNN's -I and this project's 1 - I.

Where a model has no counterpart the functions raise ValueError and say why. Bandwidths are in pixels and in gray levels
of 0..255, see `gray_levels`; every model here keeps the message of a pixel to itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from crfrnn.densecrf import NORMALIZE_SYMMETRIC, NormalizationType
from crfrnn.densecrf.arrays import as_tensor, standard_deviations
from crfrnn.densecrf.terms import NAMES, penalty, stacked
from crfrnn.kernels import IMAGE, Kernel, appearance_kernel, smoothness_kernel
from crfrnn.meanfield import CRFRNN

Convention = Literal["caffe", "keras", "pytorch"]
# The sign of the compatibility matrix where penalties are positive: "U - mu m" and "U + mu m".
SIGNS = {"caffe": 1.0, "keras": 1.0, "pytorch": -1.0}
CONVCRF_NORMALIZATIONS: dict[str, Literal["none", "symmetric"]] = {"none": "none", "sym": "symmetric"}


@dataclass(frozen=True, eq=False)
class PairwiseTerm:
    """The arguments of `addPairwiseGaussian` (srgb None) or `addPairwiseBilateral`, less the image."""

    sxy: float | Sequence[float]
    compat: float | np.ndarray
    srgb: float | Sequence[float] | None = None
    normalization: NormalizationType = NORMALIZE_SYMMETRIC


def from_pydensecrf(num_labels: int, terms: Sequence[PairwiseTerm], num_iterations: int = 5) -> CRFRNN:
    """The layer whose softmax gives the beliefs of a DenseCRF2D with `terms`, for logits = -energies.

    Numbers as compat become Potts with scalar kernel weights; vectors and matrices become kernel weights in the form
    "diagonal" or "matrix" under mu = I.
    """
    normalizations = {NAMES[NormalizationType(term.normalization)] for term in terms}
    if len(normalizations) != 1:
        raise ValueError(
            f"the terms have normalizations {sorted(normalizations)}; wanted one for all terms, and at least one term"
        )
    penalties = [penalty(term.compat, num_labels).cpu() for term in terms]
    weights = stacked(penalties)
    form: Any = ("scalar", "diagonal", "matrix")[weights.ndim - 1]
    potts = form == "scalar"
    kernels = [_kernel(term, -float(w) if potts else 1.0) for term, w in zip(terms, penalties, strict=True)]
    crf = CRFRNN(
        num_labels,
        kernels,
        num_iterations,
        normalization=normalizations.pop(),
        kernel_weights=form,
        compatibility="potts" if potts else torch.eye(num_labels),
    )
    return crf if potts else _with_weights(crf, weights)


def to_pydensecrf(crf: CRFRNN) -> list[PairwiseTerm]:
    """What to add to a DenseCRF2D for the beliefs of `crf`, for energies = -logits.

    compat comes as a number where the penalty is Potts, as a vector where it is diagonal, else as a matrix. pydensecrf
    takes the symmetric part of a matrix, so that only penalties symmetric up to some 1 v^T have a counterpart.
    """
    _check_transferable(crf)
    normalization = next(kind for kind, name in NAMES.items() if name == crf.normalization)
    thetas = [theta.detach().cpu().tolist() for theta in crf.bandwidths]
    return [
        PairwiseTerm(theta[0], _compat(matrix), theta[1] if len(theta) > 1 else None, normalization)
        for theta, matrix in zip(thetas, _penalties(crf), strict=True)
    ]


def from_crfasrnn(
    spatial: Any, bilateral: Any, compatibility: Any, convention: Convention, *,
    theta_alpha: float = 160.0, theta_beta: float = 3.0, theta_gamma: float = 3.0, num_iterations: int = 10,
) -> CRFRNN:  # fmt: skip
    """The layer for trained parameters of CRF-RNN: spatial_ker_weights, bilateral_ker_weights, compatibility_matrix.

    Args:
        spatial, bilateral, compatibility: [L, L], arrays or tensors.
        convention: whose. "caffe" and "keras" subtract the pair term, compatibility -I at first; "pytorch" adds it, +I.

    Kernel weights are kept as given, the compatibility becomes a penalty (see `penalty_matrix`).
    """
    matrices = [
        as_tensor(name, value).cpu() for name, value in zip("WBM", (spatial, bilateral, compatibility), strict=True)
    ]
    num_labels = len(matrices[0])
    if any(matrix.shape != (num_labels, num_labels) for matrix in matrices):
        raise ValueError(f"the parameters have shapes {[list(m.shape) for m in matrices]}; wanted [L, L] three times")
    crf = CRFRNN(
        num_labels,
        [smoothness_kernel(theta_gamma, 1.0), appearance_kernel(theta_alpha, theta_beta, 1.0)],
        num_iterations,
        normalization="after",
        kernel_weights="matrix",
        compatibility=penalty_matrix(matrices[2], convention),
    )
    return _with_weights(crf, torch.stack(matrices[:2]))


def to_crfasrnn(crf: CRFRNN, convention: Convention) -> dict[str, Tensor | float]:
    """Parameters of CRF-RNN by the names of its Keras and PyTorch versions: matrices [L, L] and bandwidths."""
    _check_transferable(crf)
    sign = _sign(convention)
    if crf.normalization != "after":
        raise ValueError(f"normalization is {crf.normalization!r}; CRF-RNN divides after filtering, wanted 'after'")
    spatial, bilateral = _smoothness_and_appearance(crf)
    weights = _weight_matrices(crf)
    alpha, beta = crf.bandwidths[bilateral].tolist()
    return {
        "spatial_ker_weights": weights[spatial],
        "bilateral_ker_weights": weights[bilateral],
        "compatibility_matrix": sign * (crf.cell.compatibility.detach().cpu() - 1),
        "theta_alpha": alpha,
        "theta_beta": beta,
        "theta_gamma": float(crf.bandwidths[spatial]),
    }


def from_convcrf(
    num_labels: int, conf: Mapping[str, Any], theta_alpha: float | None = None, num_iterations: int = 5
) -> tuple[CRFRNN, float]:
    """The layer and the factor for its logits that come nearest to a GaussCRF with `conf`: `crf(factor * logits, image)`.

    ConvCRF mixes x = (unary_weight - weight) log p + weight sum_m compat_m K_m Q; the first factor goes to the logits,
    the second to the kernel weights. Without normalization it sums over pixels averaged in blocks of blur x blur, one
    blur^2-th of the sum over all. It does not transfer that messages end at a window of filter_size x filter_size
    blocks, nor the start: ConvCRF makes its first message of log-probabilities, this layer of beliefs.

    Args:
        theta_alpha: position bandwidth of the color kernel where conf has use_bias False (its default): only the window
            limits that kernel then, so that a number must be chosen.
    """
    if conf.get("convcomp"):
        raise ValueError("conf has convcomp=True, a learned compatibility; wanted False: there is no rule for it")
    if conf["norm"] not in CONVCRF_NORMALIZATIONS:
        raise ValueError(f"norm is {conf['norm']!r}; wanted one of {', '.join(CONVCRF_NORMALIZATIONS)}")
    color, place = conf["col_feats"], conf["pos_feats"]
    alpha = color["sdims"] if color["use_bias"] else theta_alpha
    if alpha is None:
        raise ValueError(
            "conf has use_bias=False, a color kernel without positions that ends at the window; wanted a theta_alpha in "
            "pixels to put in its place"
        )
    weight = 1.0 if conf["weight"] is None else float(conf["weight_init"])
    factor = 1.0 if conf["weight"] is None else float(conf["unary_weight"]) - weight
    scale = weight / conf["blur"] ** 2 if conf["norm"] == "none" else weight
    kernels = [
        smoothness_kernel(place["sdims"], scale * place["compat"]),
        appearance_kernel(alpha, color["schan"], scale * color["compat"]),
    ]
    return CRFRNN(num_labels, kernels, num_iterations, CONVCRF_NORMALIZATIONS[conf["norm"]]), factor


def to_convcrf(crf: CRFRNN, filter_size: int = 11) -> dict[str, Any]:
    """A conf for GaussCRF with the parameters of `crf`, without blur and with the given window; Potts only.

    The window cuts off whatever lies more than filter_size // 2 pixels away: wanted 3 theta or more to either side.
    """
    _check_transferable(crf)
    norm = next((name for name, ours in CONVCRF_NORMALIZATIONS.items() if ours == crf.normalization), None)
    if norm is None:
        raise ValueError(f"normalization is {crf.normalization!r}; ConvCRF knows 'none' and 'symmetric' only")
    spatial, bilateral = _smoothness_and_appearance(crf)
    compats = [_compat(matrix) for matrix in _penalties(crf)]
    if not all(isinstance(compat, float) for compat in compats):
        raise ValueError("the compatibility is not Potts; ConvCRF takes one number for each kernel")
    alpha, beta = crf.bandwidths[bilateral].tolist()
    return {
        "filter_size": filter_size,
        "blur": 1,
        "merge": norm == "none",
        "norm": norm,
        "weight": None,
        "unary_weight": 1,
        "weight_init": 1.0,
        "trainable": False,
        "convcomp": False,
        "logsoftmax": True,
        "softmax": True,
        "final_softmax": False,
        "pos_feats": {"sdims": float(crf.bandwidths[spatial]), "compat": compats[spatial]},
        "col_feats": {"sdims": alpha, "schan": beta, "compat": compats[bilateral], "use_bias": True},
        "trainable_bias": False,
        "pyinn": False,
    }


def penalty_matrix(compatibility: Tensor, convention: Convention) -> Tensor:
    """The compatibility of a CRF-RNN, -I or +I before training, as a penalty mu [L, L], 1 - I before training.

    The 1 adds the same to all labels of a pixel, which softmax does not see.
    """
    return 1 + _sign(convention) * compatibility


def gray_levels(bandwidth: float, std: float = 1.0) -> float:
    """theta_beta, srgb or schan in gray levels of 0..255, from one for images (gray / 255 - mean) / std."""
    return 255 * std * bandwidth


def _kernel(term: PairwiseTerm, weight: float) -> Kernel:
    sxy = _one_bandwidth("sxy", term.sxy)
    if term.srgb is None:
        return smoothness_kernel(sxy, weight)
    return appearance_kernel(sxy, _one_bandwidth("srgb", term.srgb), weight)


def _one_bandwidth(name: str, value: Any) -> float:
    """A bandwidth from a number, or from equal ones for all axes or channels."""
    numbers = standard_deviations(name, value)
    if isinstance(numbers, float):
        return numbers
    if len(set(numbers)) != 1:
        raise ValueError(f"{name} is {value!r}; wanted one number, or equal ones: a layer has one for all its axes")
    return numbers[0]


def _with_weights(crf: CRFRNN, weights: Tensor) -> CRFRNN:
    with torch.no_grad():
        crf.cell.kernel_weights.copy_(weights)
    return crf


def _check_transferable(crf: CRFRNN) -> None:
    if crf.exclude_self:
        raise ValueError("the layer has exclude_self=True; the others keep the message of a pixel to itself")
    for kernel in crf.kernels:
        if kernel.theta_position is None or kernel.guide not in (None, IMAGE):
            raise ValueError(f"{kernel} is neither a smoothness nor an appearance kernel, so it has no counterpart")


def _smoothness_and_appearance(crf: CRFRNN) -> tuple[int, int]:
    """Where the one kernel of each kind stands."""
    guides = [kernel.guide for kernel in crf.kernels]
    if sorted(guides, key=str) != [None, IMAGE]:
        raise ValueError(f"the kernels look at {guides}; wanted one smoothness and one appearance kernel")
    return guides.index(None), guides.index(IMAGE)


def _weight_matrices(crf: CRFRNN) -> Tensor:
    """Kernel weights as matrices over labels [M, L, L]."""
    weights = crf.cell.kernel_weights.detach().cpu()
    if weights.ndim == 1:
        weights = weights[:, None].expand(-1, crf.num_labels)
    return weights.clone() if weights.ndim == 3 else torch.diag_embed(weights)


def _penalties(crf: CRFRNN) -> Tensor:
    """mu W_m [M, L, L]."""
    return crf.cell.compatibility.detach().cpu() @ _weight_matrices(crf)


def _compat(matrix: Tensor) -> float | np.ndarray:
    """The simplest compat of pydensecrf that gives the beliefs of a penalty [L, L]."""
    matrix = matrix.double()
    tolerance = 1e-5 * max(float(matrix.abs().max()), 1e-30)
    skew = matrix - matrix.T
    shift = skew.mean(1)  # the v for which C + 1 v^T is symmetric, where there is one
    if ((skew - shift[:, None] + shift).abs() > tolerance).any():
        raise ValueError(
            "the penalty mu W is not symmetric, not even up to a constant of each pixel; pydensecrf would use its "
            "symmetric part, another model"
        )
    symmetric = matrix + shift
    others = symmetric[~torch.eye(len(matrix), dtype=torch.bool)]
    if (others - others[0]).abs().max() > tolerance:
        return ((symmetric + symmetric.T) / 2).float().numpy()
    diagonal = symmetric.diag() - others[0]
    if (diagonal - diagonal[0]).abs().max() > tolerance:
        return diagonal.float().numpy()
    return -float(diagonal[0])


def _sign(convention: str) -> float:
    if convention not in SIGNS:
        raise ValueError(f"convention is {convention!r}; wanted one of {', '.join(map(repr, SIGNS))}")
    return SIGNS[convention]
