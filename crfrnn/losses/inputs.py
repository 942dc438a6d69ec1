"""What all losses take, looked at once: probabilities, image, kernels and their bandwidths, mask."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crfrnn.checks import check_choice, check_guides, check_kernels, check_map, named, refuse_transforms, slips_of_image
from crfrnn.kernels import IMAGE, AnyKernels, Kernel, Normalization, build_kernels
from crfrnn.kernels.normalizers import NORMALIZATIONS
from crfrnn.state import widened

VOID = 255
"""what integer labels are where the label is unknown"""
SLACK = 0.02
"""by how much probabilities may miss the range 0..1 and the sum 1; those of half precision do by a thousandth"""


@dataclass(frozen=True)
class Inputs:
    """Arguments of a loss that make sense together, all of one floating-point type, float32 or wider."""

    probabilities: Tensor  # [B, L, H, W]
    guides: Mapping[str, Tensor]  # [B, C, H, W] by name
    kernels: Sequence[Kernel]
    bandwidths: Sequence[Tensor]  # one or two numbers for each kernel
    mask: Tensor  # [B, H, W], 0..1

    @property
    def weights(self) -> Tensor:
        """Those of the kernels, [M]."""
        return self.probabilities.new_tensor([float(kernel.weight) for kernel in self.kernels])

    def build(self, normalization: Normalization, filter: str) -> AnyKernels:
        """The kernels of the images. Raises ValueError where `normalization` or `filter` is none."""
        check_choice("normalization", normalization, NORMALIZATIONS)
        check_choice("filter", filter, ("lattice", "exact"))
        return build_kernels(
            self.kernels, self.bandwidths, self.guides, self.probabilities,
            normalization=normalization, exact=filter == "exact",
        )  # fmt: skip


def checked(
    probabilities: Tensor,
    image: Tensor | None,
    kernels: Sequence[Kernel],
    mask: Tensor | None,
    features: Mapping[str, Tensor] | None = None,
    bandwidths: Sequence[Tensor] | None = None,
) -> Inputs:
    """The arguments of a loss. Raises TypeError or ValueError where they make no sense, and warns of an image in 0..1."""
    refuse_transforms("a loss of pairs of pixels")
    check_kernels(kernels)
    check_map("probabilities", probabilities)
    guides = {**({} if image is None else {IMAGE: image}), **named(features)}
    check_guides("probabilities", probabilities, guides, kernels)
    scores = checked_probabilities(probabilities)
    for message in slips_of_image(guides, kernels):
        warnings.warn(message, stacklevel=3)
    return Inputs(
        scores,
        {name: guide.to(scores) for name, guide in guides.items()},
        kernels,
        checked_bandwidths(bandwidths, kernels, scores),
        checked_mask("mask", mask, scores),
    )


def checked_probabilities(probabilities: Tensor, axes: Iterable[int] = (2,)) -> Tensor:
    """Probabilities [B, L, *space] of so many `axes` of space, float32 or wider. Raises where they are none."""
    check_map("probabilities", probabilities, axes)
    scores = widened(probabilities)
    detached = scores.detach()
    if detached.min() < -SLACK or detached.max() > 1 + SLACK or (detached.sum(1) - 1).abs().max() > SLACK:
        raise ValueError(
            "the probabilities are not all in 0..1 with a sum of 1 over the labels; pass logits.softmax(1), and one mask p "
            "as torch.stack([1 - p, p], 1)"
        )
    return scores


def check_labels(labels: Tensor, like: Tensor, void: int) -> None:
    """Raise TypeError or ValueError unless `labels` are integers [B, *space] beside `like` [B, L, *space]."""
    wanted = [len(like), *like.shape[2:]]
    if (
        not isinstance(labels, Tensor)
        or labels.is_floating_point()
        or labels.is_complex()
        or labels.dtype == torch.bool
    ):
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"the labels are {kind}; wanted a tensor of integers, and {void} where the label is unknown")
    if list(labels.shape) != wanted:
        raise ValueError(f"the labels have shape {list(labels.shape)}; wanted {wanted}, one for each pixel")
    if labels.device != like.device:
        raise ValueError(f"the labels are on {labels.device}, the probabilities on {like.device}; move one of them")


def checked_labels(labels: Tensor, like: Tensor, void: int) -> Tensor:
    """True labels [B, *space] as int64. Raises as `check_labels`, and ValueError where `like` has no such label."""
    check_labels(labels, like, void)
    labels = labels.long()
    strange = labels[(labels != void) & ((labels < 0) | (labels >= like.shape[1]))]
    if len(strange):
        raise ValueError(
            f"the labels hold {int(strange[0])}; wanted 0 to {like.shape[1] - 1}, or {void} where the label is unknown"
        )
    return labels


def checked_bandwidths(bandwidths: Sequence[Tensor] | None, kernels: Sequence[Kernel], like: Tensor) -> list[Tensor]:
    """The bandwidths of each kernel, of positions first and then of the guide; those of `kernels` where none are given."""
    if bandwidths is None:
        return [like.new_tensor(kernel.bandwidths) for kernel in kernels]
    if len(bandwidths) != len(kernels):
        raise ValueError(
            f"there are bandwidths for {len(bandwidths)} kernels; wanted a tensor for each of {len(kernels)}"
        )
    for given, kernel in zip(bandwidths, kernels, strict=True):
        if not isinstance(given, Tensor):
            raise TypeError(
                f"bandwidths holds a {type(given).__name__}; wanted a tensor for each kernel, as crf.bandwidths"
            )
        if given.shape != (len(kernel.bandwidths),):
            raise ValueError(
                f"the bandwidths of {kernel} have shape {list(given.shape)}; wanted [{len(kernel.bandwidths)}], positions "
                "first"
            )
        if not bool((given.isfinite() & (given > 0)).all()):
            raise ValueError(f"the bandwidths of {kernel} are {given.tolist()}; wanted positive finite numbers")
    return [given.to(like) for given in bandwidths]


def checked_mask(name: str, mask: Tensor | None, like: Tensor) -> Tensor:
    """A mask [B, H, W] as numbers in 0..1, all of them 1 where none is given. `like`: [B, L, H, W]."""
    wanted = [len(like), *like.shape[2:]]
    if mask is None:
        return like.new_ones(wanted)
    if not isinstance(mask, Tensor) or mask.is_complex():
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"{name} is a {kind}; wanted a tensor of bool, or of numbers in 0..1")
    if list(mask.shape) != wanted:
        raise ValueError(f"{name} has shape {list(mask.shape)}; wanted [B, H, W] = {wanted}")
    if mask.device != like.device:
        raise ValueError(f"{name} is on {mask.device}, the probabilities on {like.device}; move one of them")
    if not bool(((mask >= 0) & (mask <= 1)).all()):
        raise ValueError(f"{name} holds numbers outside of 0..1; wanted 1 where pixels count and 0 where they do not")
    return mask.detach().to(like)


def ratio(total: Tensor, count: Tensor) -> Tensor:
    """total / count, and 0 where both are 0."""
    return total / count.clamp(min=torch.finfo(count.dtype).tiny)
