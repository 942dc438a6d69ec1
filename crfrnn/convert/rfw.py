"""Settings and trained weights of the CRF of netw0rkf10w/CRF (regularized Frank-Wolfe, Le-Huu & Alahari 2021) as a layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from crfrnn._numbers import real_number, whole_number
from crfrnn.convert.convcrf import gray_levels
from crfrnn.convert.crfasrnn import penalty_matrix
from crfrnn.convert.layer import with_weights
from crfrnn.densecrf.arrays import as_tensor, check_finite
from crfrnn.kernels import appearance_kernel, smoothness_kernel
from crfrnn.meanfield import CRFRNN

_MATRICES = ("spatial_weight.weight", "bilateral_weight.weight", "compatibility.weight")
_LEARNED = {"fw_lambda": "lambda_", "fw_x0_weight": "x0_weight"}
_PARAMS: dict[str, Any] = {
    "stepsize": 1.0, "scheme": "linesearch", "regularizer": None, "lambda_": 1.0, "lambda_learnable": False,
    "x0_weight": 0.0, "x0_weight_learnable": False,
}  # fmt: skip
_REGULARIZERS = {"l2": "l2", "negentropy": "entropy"}
_STEPS = {"standard": "standard", "linesearch": "line_search"}


def from_rfw(
    classes: int, alpha: float, beta: float, gamma: float, spatial_weight: float = 1.0, bilateral_weight: float = 1.0,
    compatibility: float = 1.0, init: str = "potts", solver: str = "mf", iterations: int = 5, params: Any = None,
    state: Mapping[str, Tensor] | None = None,
) -> CRFRNN:  # fmt: skip
    """The layer with the beliefs of a `DenseGaussianCRF`; the arguments have its names and defaults.

    The original is called as crf(image, logits), the layer as crf(logits, image), with images in 0..255.

    Args:
        alpha, gamma: bandwidths in pixels.
        beta: bandwidth of colors for images in 0..1. The layer takes images in 0..255, and its theta_beta is 255 times beta.
            Where the original has images (gray / 255 - mean) / std, give std times its beta.
        init: "potts", the compatibility that the weight multiplies.
        solver: "mf" or "fw".
        params: of "fw": the FrankWolfeParams, or a dict of its arguments; those left out have its defaults.
        state: the state dict of a trained DenseGaussianCRF. Its matrices take the place of the three weights, and what it
            has learned of FrankWolfeParams takes the place of that in params.

    The original divides every kernel by its row sums and returns log(Q + 1e-9) after Frank-Wolfe, as this layer does. With
    scheme="linesearch" steps differ a little: the original takes the pair term for symmetric, which it is not after that
    division, and this layer finds the least energy. Raises ValueError for what has no counterpart: other solvers,
    Frank-Wolfe without a regularizer, an x0_weight other than 0, biases.
    """
    labels = whole_number("classes", classes, 2)
    if init != "potts":
        raise ValueError(f"init is {init!r}; wanted 'potts' (a matrix that was learned comes with the state)")
    if solver not in ("mf", "fw"):
        raise ValueError(f"solver is {solver!r}; wanted 'mf' or 'fw'")
    thetas = {name: _bandwidth(name, value) for name, value in {"alpha": alpha, "beta": beta, "gamma": gamma}.items()}
    named = {"spatial_weight": spatial_weight, "bilateral_weight": bilateral_weight, "compatibility": compatibility}
    weights = {name: real_number(name, value) for name, value in named.items()}
    for name, weight in weights.items():
        if weight < 0:
            raise ValueError(
                f"{name} is {weight}; wanted at least 0 (the original takes 1 in place of a negative number)"
            )
    matrices, learned = (None, {}) if state is None else _trained(state, labels)
    spatial, bilateral = weights["spatial_weight"], weights["bilateral_weight"]
    scale = weights["compatibility"]
    crf = CRFRNN(
        labels,
        [
            smoothness_kernel(thetas["gamma"], scale * spatial),
            appearance_kernel(thetas["alpha"], gray_levels(thetas["beta"]), scale * bilateral),
        ],
        whole_number("iterations", iterations, 0),
        kernel_weights="scalar" if matrices is None else "matrix",
        compatibility="potts" if matrices is None else penalty_matrix(matrices[2], "caffe"),
        **(_frank_wolfe(_chosen(params) | learned) if solver == "fw" else {}),
    )
    return crf if matrices is None else with_weights(crf, matrices[:2])


def _bandwidth(name: str, value: Any) -> float:
    number = real_number(name, value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} is {number}; wanted a finite bandwidth above 0")
    return number


def _chosen(params: Any) -> dict[str, Any]:
    """All arguments of FrankWolfeParams."""
    if params is not None and not isinstance(params, Mapping) and not hasattr(params, "regularizer"):
        raise TypeError(f"params is {params!r}; wanted FrankWolfeParams, or a dict of its arguments")
    given = dict(params) if isinstance(params, Mapping) else vars(params) if params is not None else {}
    unknown = sorted(set(given) - set(_PARAMS))
    if unknown:
        raise ValueError(f"params has {', '.join(unknown)}; wanted arguments of FrankWolfeParams: {', '.join(_PARAMS)}")
    return {**_PARAMS, **given}


def _frank_wolfe(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `CRFRNN` for those of FrankWolfeParams."""
    if chosen["regularizer"] not in _REGULARIZERS:
        raise ValueError(
            f"regularizer is {chosen['regularizer']!r}; wanted 'l2' or 'negentropy' (without one, Frank-Wolfe has no "
            "counterpart here; 'l2' with a small lambda_ is near it)"
        )
    if chosen["scheme"] not in ("fixed", *_STEPS):
        raise ValueError(f"scheme is {chosen['scheme']!r}; wanted 'fixed', 'standard' or 'linesearch'")
    if real_number("x0_weight", chosen["x0_weight"]) != 0:
        raise ValueError(
            f"x0_weight is {chosen['x0_weight']}; wanted 0, since a layer does not mix the first beliefs into the last (the "
            "original does so for training)"
        )
    stepsize, weight = real_number("stepsize", chosen["stepsize"]), real_number("lambda_", chosen["lambda_"])
    if chosen["scheme"] == "fixed" and not 0 < stepsize <= 1:
        raise ValueError(f"stepsize is {stepsize}; wanted a number above 0 and at most 1")
    if not 0 < weight < math.inf:
        raise ValueError(f"lambda_ is {weight}; wanted a finite number above 0")
    return {
        "solver": "frank_wolfe",
        "regularizer": _REGULARIZERS[chosen["regularizer"]],
        "regularizer_weight": weight,
        "step": _STEPS.get(chosen["scheme"], stepsize),
    }


def _trained(state: Mapping[str, Tensor], labels: int) -> tuple[Tensor, dict[str, float]]:
    """Spatial, bilateral and compatibility matrix [3, L, L] of a state dict, and arguments of FrankWolfeParams in it."""
    missing = [name for name in _MATRICES if name not in state]
    unknown = sorted(set(state) - {*_MATRICES, *_LEARNED})
    if missing or unknown:
        found = [f"lacks {', '.join(missing)}"] if missing else []
        found += [f"has {', '.join(unknown)}, which has no counterpart here"] if unknown else []
        raise ValueError(
            f"the state dict {' and '.join(found)}; wanted state_dict() of a DenseGaussianCRF without biases"
        )
    tensors = {name: as_tensor(name, state[name]).cpu() for name in state}
    for name, tensor in tensors.items():
        check_finite(name, tensor, "the training that made it has diverged")
        wanted = [labels, labels, 1, 1] if name in _MATRICES else []
        if list(tensor.shape) != wanted:
            raise ValueError(f"{name} has shape {list(tensor.shape)}; wanted {wanted} for classes={labels}")
    learned = {argument: float(tensors[name]) for name, argument in _LEARNED.items() if name in tensors}
    return torch.stack([tensors[name][..., 0, 0] for name in _MATRICES]), learned
