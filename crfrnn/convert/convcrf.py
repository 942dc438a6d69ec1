"""Configurations and trained weights of ConvCRF's GaussCRF as a layer, and back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from crfrnn._numbers import real_number, whole_number
from crfrnn.convert.layer import (
    check_transferable,
    compat_of,
    penalties_of,
    smoothness_and_appearance,
    with_weights,
)
from crfrnn.densecrf.arrays import as_tensor, check_finite
from crfrnn.kernels import appearance_kernel, smoothness_kernel
from crfrnn.meanfield import CRFRNN

CONVCRF_NORMALIZATIONS: dict[str, Literal["none", "symmetric"]] = {"none": "none", "sym": "symmetric"}


@dataclass(frozen=True)
class _Numbers:
    """Those of a GaussCRF: bandwidths, weights of the kernels, its `weight` [] or [L] and its matrix `comp` [L, L]."""

    place_theta: float
    place_compat: float
    color_theta: float
    color_compat: float
    alpha: float | None
    weight: Tensor | None
    comp: Tensor | None = None


def from_convcrf(
    num_labels: int,
    conf: Mapping[str, Any],
    theta_alpha: float | None = None,
    num_iterations: int = 5,
    state: Mapping[str, Tensor] | None = None,
) -> tuple[CRFRNN, float | Tensor]:
    """The layer nearest to a GaussCRF and the factor for its unary: `crf(factor * logits.log_softmax(1), image)`.

    ConvCRF mixes x = (unary_weight - weight) log p + weight sum_m compat_m K_m Q. The first factor is returned, the second
    goes into the kernel weights. The returned factor is a number, or [1, L, 1, 1] if training has given each label a weight
    of its own. Without normalization, ConvCRF sums over the means of blocks of blur x blur pixels, which is a blur^2-th of
    the sum over all pixels. Two things do not transfer: messages end at a window of filter_size x filter_size blocks, and
    ConvCRF makes its first message from log-probabilities, where this layer takes beliefs.

    Args:
        conf: the configuration of the GaussCRF.
        theta_alpha: position bandwidth of the color kernel if conf has use_bias False, its default. Only the window limits
            that kernel then, so you have to choose a number.
        state: the state dict of the trained GaussCRF; None takes the numbers of conf.

    Raises ValueError where conf or state lack something or do not fit each other.
    """
    num_labels = whole_number("num_labels", num_labels, 2)
    norm, blur = _setting(conf, "norm"), _setting(conf, "blur")
    if norm not in CONVCRF_NORMALIZATIONS:
        raise ValueError(f"norm is {norm!r}; wanted one of {', '.join(CONVCRF_NORMALIZATIONS)}")
    numbers = _configured(conf) if state is None else _trained(conf, state, num_labels)
    alpha = theta_alpha if numbers.alpha is None else numbers.alpha
    if alpha is None:
        raise ValueError(
            "conf has use_bias=False: its color kernel has no positions and ends at the window; wanted a theta_alpha in "
            "pixels in place of the window"
        )
    weight = torch.tensor(1.0) if numbers.weight is None else numbers.weight
    factor = torch.tensor(1.0) if numbers.weight is None else float(_setting(conf, "unary_weight")) - weight
    scale = 1 / blur**2 if norm == "none" else 1.0
    compats = [scale * numbers.place_compat, scale * numbers.color_compat]
    in_kernels = 1.0 if weight.ndim or numbers.comp is not None else float(weight)
    crf = CRFRNN(
        num_labels,
        [
            smoothness_kernel(numbers.place_theta, in_kernels * compats[0]),
            appearance_kernel(alpha, numbers.color_theta, in_kernels * compats[1]),
        ],
        whole_number("num_iterations", num_iterations, 0),
        CONVCRF_NORMALIZATIONS[norm],
        "diagonal" if weight.ndim and numbers.comp is None else "scalar",
        "potts" if numbers.comp is None else _penalty(weight.expand(num_labels), numbers.comp),
    )
    if weight.ndim and numbers.comp is None:
        crf = with_weights(crf, torch.tensor(compats)[:, None] * weight)
    return crf, factor[None, :, None, None] if factor.ndim else float(factor)


def _penalty(weight: Tensor, comp: Tensor) -> Tensor:
    """The penalty [L, L] that equals the reward weight (m + comp m) for messages m, up to a constant of each pixel."""
    return 1 - weight[:, None] * (torch.eye(len(comp)).to(comp) + comp)


def _configured(conf: Mapping[str, Any]) -> _Numbers:
    if conf.get("convcomp"):
        raise ValueError("conf has convcomp=True, a compatibility that is learned; wanted the state dict that holds it")
    return _Numbers(
        _setting(conf, "pos_feats", "sdims"),
        _setting(conf, "pos_feats", "compat"),
        _setting(conf, "col_feats", "schan"),
        _setting(conf, "col_feats", "compat"),
        _setting(conf, "col_feats", "sdims") if _setting(conf, "col_feats", "use_bias") else None,
        None if _setting(conf, "weight") is None else torch.tensor(float(_setting(conf, "weight_init"))),
    )


def _trained(conf: Mapping[str, Any], state: Mapping[str, Tensor], num_labels: int) -> _Numbers:
    """The numbers of a state dict, which holds reciprocals of bandwidths, and just what `conf` asks for."""
    names = ["pos_sdims", "pos_compat", "col_schan", "col_compat"]
    names += ["col_sdims"] if _setting(conf, "col_feats", "use_bias") else []
    names += [] if _setting(conf, "weight") is None else ["CRF.weight"]
    names += ["CRF.comp.weight"] if conf.get("convcomp") else []
    missing, unknown = [each for each in names if each not in state], set(state) - {*names, "mesh"}
    if missing or unknown:
        found = [f"lacks {', '.join(missing)}"] if missing else []
        found += [f"has {', '.join(sorted(unknown))}, which belongs to no GaussCRF with this conf"] if unknown else []
        raise ValueError(
            f"the state dict {' and '.join(found)}; wanted gauss_crf.state_dict() and the conf it was made with"
        )
    tensors = {name: _finite(name, state[name]) for name in names}
    sizes = dict.fromkeys(names, (1,)) | {"CRF.weight": (1, num_labels), "CRF.comp.weight": (num_labels**2,)}
    for name, tensor in tensors.items():
        if tensor.numel() not in sizes[name]:
            raise ValueError(
                f"{name} has shape {list(tensor.shape)}; wanted that of a GaussCRF over num_labels={num_labels}"
            )
    _check_mesh(state.get("mesh"))
    number = {name: float(tensor) for name, tensor in tensors.items() if tensor.numel() == 1}
    weight, comp = tensors.get("CRF.weight"), tensors.get("CRF.comp.weight")
    return _Numbers(
        _bandwidth("pos_sdims", number["pos_sdims"]),
        number["pos_compat"],
        _bandwidth("col_schan", number["col_schan"]),
        number["col_compat"],
        _bandwidth("col_sdims", number["col_sdims"]) if "col_sdims" in number else None,
        None if weight is None else weight.flatten() if weight.numel() > 1 else weight.reshape(()),
        None if comp is None else comp.reshape(num_labels, num_labels),
    )


def _setting(conf: Mapping[str, Any], *path: str) -> Any:
    value: Any = conf
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            raise ValueError(f"conf has no {'.'.join(path)}; wanted a conf of ConvCRF, such as its default_conf")
        value = value[name]
    return value


def _finite(name: str, value: Any) -> Tensor:
    tensor = as_tensor(name, value).cpu()
    check_finite(name, tensor, "the training that made it has diverged")
    return tensor


def _bandwidth(name: str, reciprocal: float) -> float:
    """The sign of the reciprocal means nothing, as differences are squared."""
    if reciprocal == 0:
        raise ValueError(f"{name} is 0, an infinite bandwidth; wanted a number that lets its kernel compare something")
    return abs(1 / reciprocal)


def _check_mesh(mesh: Any) -> None:
    """Raise ValueError where training has moved the pixels [2, h, w] off their grid."""
    if mesh is None:
        return
    mesh = _finite("mesh", mesh)
    if mesh.ndim != 3 or len(mesh) != 2:
        raise ValueError(f"mesh has shape {list(mesh.shape)}; wanted [2, h, w]")
    grid = torch.meshgrid(*(torch.arange(size).to(mesh) for size in mesh.shape[1:]), indexing="ij")
    if not torch.allclose(mesh, torch.stack(grid), atol=1e-3):
        raise ValueError("mesh has pixels that training moved (trainable_bias=True); a layer keeps them on the grid")


def to_convcrf(crf: CRFRNN, filter_size: int = 11) -> dict[str, Any]:
    """A conf for GaussCRF with the parameters of `crf`, without blur and with the given window; Potts only.

    The window cuts off what lies more than filter_size // 2 pixels away; let it reach 3 theta or more to either side.
    """
    check_transferable(crf)
    norm = next((name for name, ours in CONVCRF_NORMALIZATIONS.items() if ours == crf.normalization), None)
    if norm is None:
        raise ValueError(f"normalization is {crf.normalization!r}; ConvCRF knows 'none' and 'symmetric' only")
    spatial, bilateral = smoothness_and_appearance(crf)
    compats = [compat_of(matrix) for matrix in penalties_of(crf)]
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


def gray_levels(bandwidth: float, std: float = 1.0) -> float:
    """theta_beta, srgb or schan in gray levels of 0..255, from one for images (gray / 255 - mean) / std."""
    bandwidth, std = real_number("bandwidth", bandwidth), real_number("std", std)
    if not (0 < bandwidth < math.inf and 0 < std < math.inf):
        raise ValueError(f"bandwidth is {bandwidth}, std {std}; wanted finite numbers above 0")
    return 255 * std * bandwidth
