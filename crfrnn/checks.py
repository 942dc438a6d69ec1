"""What a caller of `CRFRNN` can get wrong, said once at the boundary: what came, what was wanted, how to fix it."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from crfrnn._numbers import check_message_tolerance, whole_number
from crfrnn.kernels import IMAGE, Kernel
from crfrnn.kernels.build import Spacing
from crfrnn.kernels.kernel import GRID_NEIGHBORS
from crfrnn.kernels.normalizers import NORMALIZATIONS
from crfrnn.lattice.checks import all_finite, extremes


def check_settings(
    num_labels: int,
    kernels: Sequence[Kernel],
    num_iterations: int,
    normalization: str,
    kernel_weights: str,
    compatibility: str | Tensor,
    filter: str,
    min_belief: float,
    message_tolerance: float,
    **flags: bool,
) -> None:
    """Raise for arguments of the constructor of `CRFRNN` that make no sense; `flags` are those that are True or False."""
    if not _is_whole(num_labels) or num_labels < 2:
        raise ValueError(f"num_labels is {num_labels!r}; a CRF needs at least 2 labels: write one mask as [1 - p, p]")
    check_iterations(num_iterations)
    check_kernels(kernels)
    check_choice("normalization", normalization, NORMALIZATIONS)
    check_choice("kernel_weights", kernel_weights, ("scalar", "diagonal", "matrix"))
    check_choice("filter", filter, ("lattice", "exact"))
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}; wanted True or False")
    if not isinstance(min_belief, Real) or not 0 <= min_belief < 1 / num_labels:
        raise ValueError(
            f"min_belief is {min_belief!r}; wanted a belief of at least 0 and below 1 / num_labels = {1 / num_labels:.3g}, "
            "so that the likeliest label always stays; 1e-3 is a good choice"
        )
    check_message_tolerance(message_tolerance)
    if flags["learn_filter"]:
        _check_learned_filter(kernels, filter)
    if isinstance(compatibility, str):
        check_choice("compatibility", compatibility, ("potts",))
    else:
        _check_penalties(compatibility, num_labels)


def _check_learned_filter(kernels: Sequence[Kernel], filter: str) -> None:
    """Raise unless every kernel says how many axes its lattice has, and one of them has any."""
    axes = {str(kernel): kernel.num_lattice_axes for kernel in kernels}
    if filter != "lattice" or not any(count != 0 for count in axes.values()):
        raise ValueError(
            f"learn_filter=True with filter={filter!r} and kernels {', '.join(axes)} has no lattice to learn; wanted "
            "filter='lattice' and a kernel that is no grid_kernel"
        )
    for name, count in axes.items():
        if count is None:
            raise ValueError(
                f"learn_filter=True needs to know how many features {name} has; give its theta as a tuple with one for each"
            )


def refuse_transforms(name: str) -> None:
    """Raise RuntimeError inside a transform of torch.func, which takes a call of the layer alone."""
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError(
            f"{name} does not run inside torch.func, which takes a call of a CRFRNN alone; use torch.autograd.grad"
        )


def check_kernels(kernels: Sequence[Kernel]) -> None:
    """Raise unless `kernels` is a list of at least one kernel."""
    if not isinstance(kernels, Sequence):
        raise TypeError(f"kernels is {kernels!r}; wanted a list of kernels, for example [appearance_kernel()]")
    if not kernels:
        raise ValueError(
            "kernels is empty; wanted at least one, for example [smoothness_kernel(), appearance_kernel()]"
        )
    for kernel in kernels:
        if not isinstance(kernel, Kernel):
            raise TypeError(
                f"kernels holds {kernel!r}; wanted what smoothness_kernel(), appearance_kernel() ... return"
            )


def _check_penalties(compatibility: Tensor, num_labels: int) -> None:
    if not isinstance(compatibility, Tensor) or compatibility.is_complex():
        kind = compatibility.dtype if isinstance(compatibility, Tensor) else type(compatibility).__name__
        raise TypeError(f"compatibility is a {kind}; wanted 'potts' or a tensor of penalties: torch.tensor(...)")
    if compatibility.shape != (num_labels, num_labels):
        raise ValueError(
            f"compatibility has shape {list(compatibility.shape)}; wanted [{num_labels}, {num_labels}] or 'potts'"
        )
    if not compatibility.to(torch.get_default_dtype()).isfinite().all():
        raise ValueError(
            f"compatibility holds values that are not finite in {torch.get_default_dtype()}; wanted finite penalties"
        )


def check_iterations(num_iterations: int) -> None:
    """Raise unless `num_iterations` is a whole number of at least 0."""
    if not _is_whole(num_iterations):
        raise ValueError(f"num_iterations is {num_iterations!r}; wanted a whole number of at least 0")
    whole_number("num_iterations", num_iterations, 0)


def check_tolerance(tolerance: float | None) -> None:
    """Raise unless `tolerance` is None or a finite number of at least 0."""
    if tolerance is not None and not (isinstance(tolerance, Real) and 0 <= tolerance < math.inf):
        raise ValueError(
            f"tolerance is {tolerance!r}; wanted a change of beliefs of at least 0, for example 1e-3, or None to run all "
            "iterations"
        )


def check_call(
    unary: Tensor, guides: Mapping[str, Tensor], num_iterations: int, num_labels: int, kernels: Sequence[Kernel]
) -> None:
    """Raise for unary, image or features that `kernels` over `num_labels` labels cannot be applied to."""
    check_iterations(num_iterations)
    check_map("unary", unary, LAYOUTS)
    if unary.shape[1] != num_labels:
        axes, hint = unary.ndim - 2, "; pass logits, channels first" if unary.shape[-1] == num_labels else ""
        if unary.shape[0] == num_labels and axes < max(LAYOUTS):
            axes, hint = axes + 1, "; unary[None] adds a batch of one"
        raise ValueError(
            f"unary has shape {list(unary.shape)}; wanted {LAYOUTS[axes].replace('C', str(num_labels))}, "
            f"num_labels={num_labels}{hint}"
        )
    check_guides("unary", unary, guides, kernels)


def check_spacing(spacing: Spacing, axes: int) -> None:
    """Raise unless `spacing` is None or has a positive number for each of so many axes."""
    if spacing is None:
        return
    if not isinstance(spacing, list | tuple):
        raise TypeError(f"spacing is a {type(spacing).__name__}; wanted a tuple with a number for each axis")
    if len(spacing) != axes:
        raise ValueError(
            f"spacing has {len(spacing)} numbers for {axes} spatial axes; wanted one for each, in the order of the axes"
        )
    if not all(isinstance(each, Real) and 0 < float(each) < math.inf for each in spacing):
        raise ValueError(f"spacing is {tuple(spacing)}; wanted positive finite numbers")


def check_guides(name: str, scores: Tensor, guides: Mapping[str, Tensor], kernels: Sequence[Kernel]) -> None:
    """Raise for image or features that `kernels` cannot look at beside what is called `name`, `scores` [B, L, *space]."""
    axes = scores.ndim - 2
    wanted = {kernel.guide for kernel in kernels if kernel.guide is not None}
    if missing := wanted - set(guides):
        raise ValueError(
            f"the kernels look at {', '.join(sorted(missing))}, which was not given; pass image or features={{...}}"
        )
    if unknown := set(guides) - wanted - {IMAGE}:
        raise ValueError(
            f"no kernel looks at features {', '.join(sorted(unknown))}; leave them out or add a feature_kernel"
        )
    wide = torch.promote_types(scores.dtype, torch.float32)
    for guide_name, guide in guides.items():
        check_map(guide_name, guide, (axes,))
        if guide.dtype != wide and not all_finite(guide.to(wide)):
            raise ValueError(
                f"{guide_name} holds values too large for {wide}, in which the CRF computes; scale {guide_name} down"
            )
        if guide.shape[0] != scores.shape[0] or guide.shape[2:] != scores.shape[2:]:
            equal, how = (
                ("batch, height and width", "bilinear") if axes == 2 else ("batch and sizes of all axes", "linear")
            )
            raise ValueError(
                f"{guide_name} has shape {list(guide.shape)} and {name} {list(scores.shape)}; wanted equal {equal}: resize "
                f"the {name} to the image ({how}) first"
            )
        if guide.device != scores.device:
            raise ValueError(f"{guide_name} is on {guide.device}, {name} on {scores.device}; move one of them")
    for kernel in kernels:
        _check_fits(kernel, axes, guides)


def _check_fits(kernel: Kernel, axes: int, guides: Mapping[str, Tensor]) -> None:
    """Raise ValueError where a kernel does not suit images of so many axes, or the channels of its guide."""
    counts = {"theta_position": (axes, "spatial axis")}
    if kernel.guide is not None:
        counts["theta_guide"] = (guides[kernel.guide].shape[1], f"channel of {kernel.guide}")
    for name, (wanted, what) in counts.items():
        theta = getattr(kernel, name)
        if isinstance(theta, tuple) and len(theta) != wanted:
            each = f"{wanted}, one for each {what}" if wanted > 1 else f"one, for its only {what}"
            raise ValueError(f"{name} of {kernel} has {len(theta)} numbers; wanted one for all, or {each}")
    if kernel.neighbors is not None and GRID_NEIGHBORS[kernel.neighbors] != axes:
        fitting = " or ".join(str(count) for count, of in GRID_NEIGHBORS.items() if of == axes)
        raise ValueError(
            f"{kernel} is one of a grid of {GRID_NEIGHBORS[kernel.neighbors]} axes, and the image has {axes}; wanted "
            f"grid_kernel({fitting})"
        )


def named(features: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
    """The features of a call; raises where they have no names."""
    if features is not None and not isinstance(features, Mapping):
        raise TypeError(f"features is a {type(features).__name__}; wanted them by name: {{'depth': depth}}")
    return features or {}


# An image in 0..1, or normalized as for networks of torchvision (-2.2 to 2.7), stays below; theta_beta then sees one color.
_LARGEST_OF_NORMALIZED = 5.0


def warn_of_slips(unary: Tensor, guides: Mapping[str, Tensor], kernels: Sequence[Kernel]) -> bool:
    """Warn of an image that is not in gray levels, though theta_beta is, and of a unary of probabilities."""
    ends = extremes(guides[IMAGE]) if _in_gray_levels(kernels) else unary.new_zeros(2)
    # One row tells in most cases. All is fetched at once, since the host waits for a GPU here.
    low, high, first_row = torch.cat([ends.float(), _are_probabilities(unary[:, :, :1]).float()[None]]).tolist()
    found = _slip_of_range(low, high)
    if first_row and _are_probabilities(unary):
        found.append(
            "the unary lies in 0..1 and sums to 1 over labels, as probabilities do; the CRF takes logits, so pass their "
            "logarithm, probabilities.clamp(min=1e-6).log()"
        )
    for message in found:
        warnings.warn(message, stacklevel=6)
    return bool(found)


def slips_of_image(guides: Mapping[str, Tensor], kernels: Sequence[Kernel]) -> list[str]:
    """What to warn of where the image is not in gray levels, though theta_beta is; nothing where it is."""
    return _slip_of_range(*extremes(guides[IMAGE]).tolist()) if _in_gray_levels(kernels) else []


def _in_gray_levels(kernels: Sequence[Kernel]) -> bool:
    return any(
        kernel.guide == IMAGE and min(kernel.bandwidths[kernel.num_position_bandwidths :]) >= 1 for kernel in kernels
    )


def _slip_of_range(low: float, high: float) -> list[str]:
    if not 0 < max(-low, high) <= _LARGEST_OF_NORMALIZED:
        return []
    return [
        f"the image that guides the CRF lies in {low:.3g}..{high:.3g}, as one in 0..1 or normalized for a network does; "
        "theta_beta counts gray levels of 0..255, so pass the raw image"
    ]


def _are_probabilities(unary: Tensor) -> Tensor:
    """bool []"""
    unary = unary.detach()
    return (unary >= 0).all() & ((unary.sum(1, dtype=torch.float32) - 1).abs() < 1e-3).all()


def _is_whole(number: Any) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


LAYOUTS = {1: "[B, C, N]", 2: "[B, C, H, W]", 3: "[B, C, D, H, W]"}
"""of maps, by the number of their spatial axes"""


def check_map(name: str, value: Tensor, axes: Iterable[int] = (2,)) -> None:
    """Raise unless `value` is a floating-point tensor [B, C, *space] of finite numbers, with so many `axes` of space."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; wanted a tensor: torch.from_numpy(...)")
    if value.is_nested or value.layout != torch.strided or value.is_meta:
        kind = "a nested" if value.is_nested else "a meta" if value.is_meta else f"a {value.layout}"
        raise TypeError(f"{name} is {kind} tensor; wanted an ordinary dense one with values: {name}.to_dense()")
    if value.ndim - 2 not in axes:
        wanted = " or ".join(LAYOUTS[count] for count in axes)
        raise ValueError(f"{name} has shape {list(value.shape)}; wanted {wanted} ({name}[None] adds a batch of one)")
    if 0 in value.shape:
        raise ValueError(f"{name} has shape {list(value.shape)}; wanted at least one image, channel and pixel")
    if not value.is_floating_point():
        raise TypeError(f"{name} is {value.dtype}; wanted floating point: {name}.float()")
    if not all_finite(value):
        raise ValueError(
            f"{name} holds values that are not finite; look for a division by zero or log(0) before the CRF"
        )


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; wanted one of {', '.join(map(repr, choices))}")
