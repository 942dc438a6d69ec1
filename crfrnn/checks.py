"""What a caller of `CRFRNN` can get wrong, said once at the boundary: what came, what was wanted, how to fix it."""

import warnings
from collections.abc import Mapping, Sequence

from torch import Tensor

from crfrnn.kernels import IMAGE, Kernel
from crfrnn.kernels.normalizers import NORMALIZATIONS
from crfrnn.lattice.checks import all_finite


def check_settings(
    num_labels: int,
    kernels: Sequence[Kernel],
    num_iterations: int,
    normalization: str,
    kernel_weights: str,
    compatibility: str | Tensor,
    filter: str,
    min_belief: float,
) -> None:
    """Raise for arguments of the constructor of `CRFRNN` that make no sense."""
    if not isinstance(num_labels, int) or num_labels < 2:
        raise ValueError(f"num_labels is {num_labels!r}; a CRF needs at least 2 labels: write one mask as [1 - p, p]")
    check_iterations(num_iterations)
    if not kernels:
        raise ValueError(
            "kernels is empty; wanted at least one, for example [smoothness_kernel(), appearance_kernel()]"
        )
    for kernel in kernels:
        if not isinstance(kernel, Kernel):
            raise TypeError(
                f"kernels holds {kernel!r}; wanted what smoothness_kernel(), appearance_kernel() ... return"
            )
    _check_choice("normalization", normalization, NORMALIZATIONS)
    _check_choice("kernel_weights", kernel_weights, ("scalar", "diagonal", "matrix"))
    _check_choice("filter", filter, ("lattice", "exact"))
    if not 0 <= min_belief < 1 / num_labels:
        raise ValueError(
            f"min_belief is {min_belief}; wanted a belief of at least 0 and below 1 / num_labels = {1 / num_labels:.3g}, so "
            "that the likeliest label always stays; 1e-3 is a good choice"
        )
    if isinstance(compatibility, str):
        _check_choice("compatibility", compatibility, ("potts",))
    elif compatibility.shape != (num_labels, num_labels):
        raise ValueError(
            f"compatibility has shape {list(compatibility.shape)}; wanted [{num_labels}, {num_labels}] or 'potts'"
        )
    elif not compatibility.isfinite().all():
        raise ValueError("compatibility holds values that are not finite; wanted finite penalties")


def check_iterations(num_iterations: int) -> None:
    """Raise unless `num_iterations` is a whole number of at least 0."""
    if not isinstance(num_iterations, int) or isinstance(num_iterations, bool) or num_iterations < 0:
        raise ValueError(f"num_iterations is {num_iterations!r}; wanted a whole number of at least 0")


def check_tolerance(tolerance: float | None) -> None:
    """Raise unless `tolerance` is None or at least 0."""
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance}; wanted a change of beliefs of at least 0, for example 1e-3")


def check_call(
    unary: Tensor, guides: Mapping[str, Tensor], num_iterations: int, num_labels: int, kernels: Sequence[Kernel]
) -> None:
    """Raise for unary, image or features that `kernels` over `num_labels` labels cannot be applied to."""
    check_iterations(num_iterations)
    _check_map("unary", unary)
    if unary.shape[1] != num_labels:
        hint = "; pass logits, channels first" if unary.shape[-1] == num_labels else ""
        raise ValueError(
            f"unary has shape {list(unary.shape)}; wanted [B, {num_labels}, H, W], num_labels={num_labels}{hint}"
        )
    wanted = {kernel.guide for kernel in kernels if kernel.guide is not None}
    if missing := wanted - set(guides):
        raise ValueError(
            f"the kernels look at {', '.join(sorted(missing))}, which was not given; pass image or features={{...}}"
        )
    if unknown := set(guides) - wanted - {IMAGE}:
        raise ValueError(
            f"no kernel looks at features {', '.join(sorted(unknown))}; leave them out or add a feature_kernel"
        )
    for name, guide in guides.items():
        _check_map(name, guide)
        if guide.shape[0] != unary.shape[0] or guide.shape[2:] != unary.shape[2:]:
            raise ValueError(
                f"{name} has shape {list(guide.shape)} and unary {list(unary.shape)}; wanted equal batch, height and "
                "width: resize the unary to the image (bilinear) first"
            )
        if guide.device != unary.device:
            raise ValueError(f"{name} is on {guide.device}, unary on {unary.device}; move one of them")


def warn_small_range(image: Tensor) -> bool:
    """Warn where `image` looks like 0..1, which theta_beta in gray levels would take for one flat color."""
    if 0 < float(image.detach().amax()) <= 1:
        warnings.warn(
            "the image that guides the CRF lies in 0..1; theta_beta counts gray levels of 0..255, so pass the raw image "
            "(image * 255)",
            stacklevel=5,
        )
        return True
    return False


def _check_map(name: str, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; wanted a tensor: torch.from_numpy(...)")
    if value.ndim != 4:
        raise ValueError(
            f"{name} has shape {list(value.shape)}; wanted [B, C, H, W] ({name}[None] adds a batch of one)"
        )
    if 0 in value.shape:
        raise ValueError(f"{name} has shape {list(value.shape)}; wanted at least one image, channel and pixel")
    if not value.is_floating_point():
        raise TypeError(f"{name} is {value.dtype}; wanted floating point: {name}.float()")
    if not all_finite(value):
        raise ValueError(
            f"{name} holds values that are not finite; look for a division by zero or log(0) before the CRF"
        )


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; wanted one of {', '.join(map(repr, choices))}")
