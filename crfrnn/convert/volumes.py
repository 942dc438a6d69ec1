"""Settings of SimpleCRF (images and volumes) and of MONAI's CRF (one to three axes) as a layer."""

from collections.abc import Mapping, Sequence
from typing import Any

from crfrnn._numbers import real_number, whole_number
from crfrnn.densecrf.arrays import as_matrix, check_finite, standard_deviations
from crfrnn.kernels import appearance_kernel, smoothness_kernel
from crfrnn.meanfield import CRFRNN

_SIMPLECRF_TUPLE = ("w1", "alpha", "beta", "w2", "gamma", "it")
_SIMPLECRF_KEYS = (
    "MaxIterations", "PosW", "PosZStd", "PosCStd", "PosRStd", "BilateralW", "BilateralZStd", "BilateralCStd",
    "BilateralRStd", "BilateralModsStds",
)  # fmt: skip


def from_simplecrf(num_labels: int, param: Mapping[str, Any] | Sequence[float]) -> CRFRNN:
    """The layer whose labels are those of SimpleCRF, for logits = log of its probabilities P.

    Args:
        param: what `densecrf3d(I, P, param)` takes, a dict, for volumes; or the (w1, alpha, beta, w2, gamma, it) of
            `densecrf(I, P, param)`, for images.

    SimpleCRF normalizes symmetrically. It divides the last axis by RStd, the middle one by CStd and the first one by ZStd,
    and takes volumes [D, H, W, C] whose D equals W; of others it mixes up the axes.
    """
    if isinstance(param, Mapping):
        missing = [name for name in _SIMPLECRF_KEYS if name not in param]
        if missing:
            raise ValueError(f"param has no {', '.join(missing)}; wanted the dict that denseCRF3D.densecrf3d takes")
        number = {name: real_number(name, param[name]) for name in _SIMPLECRF_KEYS[:-1]}
        position, bilateral = (tuple(number[f"{name}{axis}Std"] for axis in "ZCR") for name in ("Pos", "Bilateral"))
        colors = standard_deviations("BilateralModsStds", param["BilateralModsStds"])
        kernels = [
            smoothness_kernel(position, number["PosW"]),
            appearance_kernel(bilateral, colors, number["BilateralW"]),
        ]
        iterations = param["MaxIterations"]
    elif isinstance(param, list | tuple) and len(param) == len(_SIMPLECRF_TUPLE):
        weight, alpha, beta, other, gamma, iterations = (
            real_number(name, value) for name, value in zip(_SIMPLECRF_TUPLE, param, strict=True)
        )
        kernels = [smoothness_kernel(gamma, other), appearance_kernel(alpha, beta, weight)]
    else:
        raise ValueError(f"param is {param!r}; wanted the dict of densecrf3d, or ({', '.join(_SIMPLECRF_TUPLE)})")
    return CRFRNN(
        whole_number("num_labels", num_labels, 2), kernels, whole_number("iterations", iterations, 0), "symmetric"
    )


def from_monai(
    num_labels: int, iterations: int = 5, bilateral_weight: float = 1.0, gaussian_weight: float = 1.0,
    bilateral_spatial_sigma: float = 5.0, bilateral_color_sigma: float = 0.5, gaussian_spatial_sigma: float = 5.0,
    update_factor: float = 3.0, compatibility_matrix: Any = None,
) -> CRFRNN:  # fmt: skip
    """The layer whose softmax is what `monai.networks.blocks.CRF` returns, for the same logits and reference image.

    The arguments after `num_labels` are those of MONAI, with its defaults. MONAI adds update_factor C^T m to the logits,
    where C [L, L] is the identity by default; so the penalty is 1 - C^T, and every weight is times update_factor. Its sigma
    of colors is in the units of the reference image, and so is that of this layer.
    """
    num_labels = whole_number("num_labels", num_labels, 2)
    compatibility: Any = "potts"
    if compatibility_matrix is not None:
        matrix = as_matrix("compatibility_matrix", compatibility_matrix, "[L, L]").cpu()
        check_finite("compatibility_matrix", matrix, "wanted a number for every pair of labels")
        compatibility = 1 - matrix.T
    factor = real_number("update_factor", update_factor)
    return CRFRNN(
        num_labels,
        [
            smoothness_kernel(gaussian_spatial_sigma, factor * real_number("gaussian_weight", gaussian_weight)),
            appearance_kernel(
                bilateral_spatial_sigma,
                bilateral_color_sigma,
                factor * real_number("bilateral_weight", bilateral_weight),
            ),
        ],
        whole_number("iterations", iterations, 0),
        normalization="after",
        compatibility=compatibility,
    )
