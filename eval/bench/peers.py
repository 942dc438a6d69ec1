"""The systems that are timed, each as a function without arguments, and the checks that they agree.

All functions compute the same result from the same input and include everything from building the lattices to the beliefs.
"""

import importlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from types import ModuleType
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from crfrnn import native
from crfrnn.presets import FixedCRF
from eval.bench.tables import PLAIN, PYDENSECRF, SEEN, SIMPLECRF

MODULES = {PYDENSECRF: "pydensecrf.densecrf", SIMPLECRF: "denseCRF"}
PYDENSECRF_NORMALIZATIONS = {
    "none": "NO_NORMALIZATION",
    "before": "NORMALIZE_BEFORE",
    "after": "NORMALIZE_AFTER",
    "symmetric": "NORMALIZE_SYMMETRIC",
}
BELIEF_FLOOR = 0.01  # SimpleCRF clips the beliefs it is given to 0.01..0.99

# The layer keeps the smoothness lattices of the sizes it saw last. Bandwidths that differ in the sixth digit make it
# rebuild everything, as the peers do in every call.
_DETUNING = [2e-6 * (1 + step) for step in range(64)]
_detuned = count()


@dataclass(frozen=True)
class Workload:
    """A batch of images and the CRF that labels them: unary [B, L, H, W], image [B, 3, H, W]."""

    unary: Tensor
    image: Tensor
    crf: FixedCRF


def why_missing(system: str) -> str | None:
    """Why the system cannot be timed; None if it can."""
    if system == PLAIN and native.library(torch.float32) is None:
        return "there is no compiled code on this machine, so crfrnn itself is plain torch"
    if system not in MODULES:
        return None
    try:
        importlib.import_module(MODULES[system])
    except ImportError as error:
        return f"not installed, or not for this Python and NumPy ({error})"
    return None


def versions() -> dict[str, str]:
    """The versions of the installed peers."""
    return {system: _version(system) for system in MODULES if why_missing(system) is None}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # a module that somebody put on the path by hand
        return "unknown"


def function_for(system: str, work: Workload, threads: int) -> Callable[[], Tensor]:
    """Whole inference with one system; `threads` applies to ours, since the peers use one.

    The function returns beliefs [B, L, H, W]; that of SimpleCRF returns labels [B, H, W].
    """
    if system == PYDENSECRF:
        return lambda: pydensecrf(work.crf, work.unary, work.image)
    if system == SIMPLECRF:
        return lambda: torch.stack([_simplecrf(work, index) for index in range(len(work.unary))])
    return _ours(work, threads, plain=system == PLAIN, rebuild=system != SEEN)


def without_compiled_code(plain: bool) -> AbstractContextManager[object]:
    """A context in which our code is plain torch, if `plain`."""
    return native.disabled() if plain else nullcontext()


def _ours(work: Workload, threads: int, plain: bool, rebuild: bool) -> Callable[[], Tensor]:
    calls = count()

    def run() -> Tensor:
        torch.set_num_threads(threads)
        # The first call has the exact bandwidth, since its result is compared with those of the peers.
        detuning = _DETUNING[next(_detuned) % len(_DETUNING)] if rebuild and next(calls) else 0.0
        crf = replace(work.crf, theta_gamma=work.crf.theta_gamma + detuning).build(work.unary.shape[1])
        with without_compiled_code(plain):
            return crf(work.unary, work.image).softmax(1)

    return run


def pydensecrf(crf: FixedCRF, unary: Tensor, image: Tensor) -> Tensor:
    """Beliefs [B, L, H, W] of pydensecrf2 for unary [B, L, H, W] and image [B, 3, H, W]."""
    from pydensecrf import densecrf

    normalization = getattr(densecrf, PYDENSECRF_NORMALIZATIONS[crf.normalization])
    beliefs = []
    for scores, picture in zip(unary, image, strict=True):
        energy = np.ascontiguousarray(-rearrange(scores, "l h w -> l (h w)").numpy())
        model = pydensecrf_model(
            densecrf,
            energy,
            _rgb(picture),
            crf,
            crf.smoothness_weight,
            crf.appearance_weight,
            normalization=normalization,
        )
        beliefs.append(torch.from_numpy(np.array(model.inference(crf.num_iterations))).view_as(scores))
    return torch.stack(beliefs)


def pydensecrf_model(
    module: ModuleType, energy: np.ndarray, image: np.ndarray, crf: FixedCRF,
    smoothness: float | np.ndarray, appearance: float | np.ndarray, **options: object,
) -> Any:  # fmt: skip
    """A DenseCRF2D of pydensecrf or of a module with its interface, ready for inference.

    Args:
        module: where DenseCRF2D is.
        energy: float32 [L, H * W], contiguous.
        image: uint8 [H, W, 3], contiguous.
        crf: the bandwidths.
        smoothness: `compat` of the Gaussian term.
        appearance: `compat` of the bilateral term.
        options: `kernel` and `normalization` of both terms.
    """
    height, width = image.shape[:2]
    model = module.DenseCRF2D(width, height, len(energy))
    model.setUnaryEnergy(energy)
    model.addPairwiseGaussian(sxy=crf.theta_gamma, compat=smoothness, **options)
    model.addPairwiseBilateral(sxy=crf.theta_alpha, srgb=crf.theta_beta, rgbim=image, compat=appearance, **options)
    return model


def _simplecrf(work: Workload, index: int) -> Tensor:
    """Labels [H, W] of one image with SimpleCRF; the unaries must already be `clipped`."""
    import denseCRF

    # Not softmax: clipped beliefs do not sum to 1, and SimpleCRF would clip them a second time once scaled to do so.
    beliefs = rearrange(work.unary[index].exp(), "l h w -> h w l").contiguous().numpy()
    crf = work.crf
    settings = (
        crf.appearance_weight,
        crf.theta_alpha,
        crf.theta_beta,
        crf.smoothness_weight,
        crf.theta_gamma,
        crf.num_iterations,
    )
    return torch.from_numpy(denseCRF.densecrf(_rgb(work.image[index]), beliefs, tuple(map(float, settings)))).long()


def _rgb(image: Tensor) -> np.ndarray:
    return np.ascontiguousarray(rearrange(image, "c h w -> h w c").to(torch.uint8).numpy())


def clipped(unary: Tensor) -> Tensor:
    """The logits [B, L, H, W] that SimpleCRF uses when it gets the beliefs softmax(unary)."""
    return unary.softmax(1).clamp(BELIEF_FLOOR, 1 - BELIEF_FLOOR).log()


def gate(left: Tensor, right: Tensor, names: str = "two systems") -> dict[str, float]:
    """How close two results for one workload are: beliefs [B, L, H, W], or labels [B, H, W] if a system gives only labels.

    Raises ValueError if less than 99.9 % of the labels are equal, or beliefs differ by more than 1e-3 on average.
    """
    with_beliefs = left.ndim == right.ndim == 4
    labels = [result.argmax(1) if result.ndim == 4 else result for result in (left, right)]
    figures = {"equal labels": float((labels[0] == labels[1]).double().mean())}
    if with_beliefs:
        difference = (left - right).abs()
        figures["mean difference of beliefs"] = float(difference.mean())
        figures["largest difference of beliefs"] = float(difference.max())
    # Written so that a NaN fails.
    if not (figures["equal labels"] >= 0.999 and figures.get("mean difference of beliefs", 0.0) <= 1e-3):
        found = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
        raise ValueError(
            f"{names} disagree ({found}; wanted equal labels at 0.999 of the pixels and a mean difference of at most "
            "1e-3): their times cannot be compared"
        )
    return figures


def gradient_gate(left: Sequence[Tensor], right: Sequence[Tensor]) -> dict[str, float]:
    """Largest relative RMS difference between two lists of gradients. Raises ValueError if it is above 1e-3."""
    differences = [float((a - b).norm() / b.norm()) for a, b in zip(left, right, strict=True)]
    if not all(difference <= 1e-3 for difference in differences):
        raise ValueError(
            f"gradients differ by {', '.join(f'{each:.1e}' for each in differences)} (relative RMS); wanted at most 1e-3: "
            "the times of their computation cannot be compared"
        )
    return {"relative difference of gradients": max(differences)}
