"""The loop over images that everyone writes around DenseCRF2D, without the pool of processes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from crfrnn.densecrf.arrays import as_tensor
from crfrnn.densecrf.crf import DenseCRF2D


def batched(
    images: Iterable[Any],
    unaries: Iterable[Any],
    niter: int = 10,
    gaussian: Mapping[str, Any] | None = None,
    bilateral: Mapping[str, Any] | None = None,
    device: str | torch.device | None = None,
    message_tolerance: float = 0.0,
) -> Iterator[np.ndarray]:
    """Beliefs [L, h, w] of one image after another, each after `niter` iterations of its own DenseCRF2D.

    Every image uses all threads, so a pool of processes around this gains nothing. Images are taken as they are needed: they
    may come from a data loader, and any number of them fits into memory.

    Args:
        images: each [h, w, channels] in 0..255.
        unaries: energies, -log p, each [L, h, w]; as many as there are images.
        gaussian: arguments of `addPairwiseGaussian`, such as {"sxy": 3, "compat": 3}; None leaves the term out.
        bilateral: arguments of `addPairwiseBilateral` but for the image, such as {"sxy": 80, "srgb": 13, "compat": 10}.
        device: where to compute; by default where each unary is.
        message_tolerance: as of `DenseCRF.inference`.

    Raises TypeError or ValueError, with the number of the image, where something does not fit.
    """
    for number, (image, unary) in enumerate(zip(images, unaries, strict=True)):
        try:
            beliefs = _beliefs(image, unary, niter, gaussian, bilateral, device, message_tolerance)
        except (TypeError, ValueError) as error:
            raise type(error)(f"image {number}: {error}") from error
        yield beliefs


def _beliefs(
    image: Any,
    unary: Any,
    niter: int,
    gaussian: Mapping[str, Any] | None,
    bilateral: Mapping[str, Any] | None,
    device: str | torch.device | None,
    message_tolerance: float,
) -> np.ndarray:
    energy = as_tensor("the unary", unary)
    if energy.ndim != 3:
        raise ValueError(f"the unary has shape {list(energy.shape)}; wanted [L, h, w]")
    labels, height, width = energy.shape
    crf = DenseCRF2D(width, height, labels, device=device)
    crf.setUnaryEnergy(energy.flatten(1))
    if gaussian is not None:
        crf.addPairwiseGaussian(**gaussian)
    if bilateral is not None:
        crf.addPairwiseBilateral(rgbim=image, **bilateral)
    return crf.inference(niter, message_tolerance=message_tolerance).reshape(labels, height, width)
