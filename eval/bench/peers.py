"""The systems that `eval.bench.speed` times, each as a function without arguments, and the check that they agree.

Every function computes the same thing from the same input, from the building of the lattices to the last result:
smoothness theta_gamma 3 (weight 3) and appearance (weight 10) with Potts penalties and symmetric normalization.
"""

import importlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import count

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, native, smoothness_kernel

THETA_GAMMA = 3.0
WEIGHTS = {"smoothness": 3.0, "appearance": 10.0}
OURS, PLAIN, SEEN = "crfrnn", "crfrnn, plain torch", "crfrnn, size seen before"
PYDENSECRF, SIMPLECRF = "pydensecrf2", "SimpleCRF"
MODULES = {PYDENSECRF: "pydensecrf.densecrf", SIMPLECRF: "denseCRF"}
BELIEF_FLOOR = 0.01  # SimpleCRF clips the beliefs it is given to 0.01..0.99

# The layer keeps the lattice of the smoothness kernel for the sizes it saw last. Bandwidths that differ in the sixth
# digit make it build everything anew, as the peers do in every call.
_DETUNING = [2e-6 * (1 + step) for step in range(64)]
_detuned = count()


@dataclass(frozen=True)
class Problem:
    """One batch of images to label: unary [B, L, H, W], image [B, 3, H, W], (theta_alpha, theta_beta) and T."""

    unary: Tensor
    image: Tensor
    thetas: tuple[float, float]
    iterations: int


def why_missing(system: str) -> str | None:
    """None where the system can be timed, else why it cannot be."""
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
    """The versions of the peers that are there."""
    return {system: _version(system) for system in MODULES if why_missing(system) is None}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # a module that was put on the path by hand
        return "unknown"


def function_for(system: str, problem: Problem, threads: int) -> Callable[[], Tensor]:
    """Whole inference with one system; `threads` is for ours, the peers have one.

    The function gives beliefs [B, L, H, W], but for SimpleCRF, which gives labels [B, H, W].
    """
    if system == PYDENSECRF:
        return lambda: torch.stack([_pydensecrf(problem, index) for index in range(len(problem.unary))])
    if system == SIMPLECRF:
        return lambda: torch.stack([_simplecrf(problem, index) for index in range(len(problem.unary))])
    return _ours(problem, threads, plain=system == PLAIN, anew=system != SEEN)


def layer(problem: Problem, theta_gamma: float = THETA_GAMMA) -> CRFRNN:
    """Our layer for a problem, its parameters frozen."""
    kernels = [
        smoothness_kernel(theta_gamma, WEIGHTS["smoothness"]),
        appearance_kernel(*problem.thetas, WEIGHTS["appearance"]),
    ]
    return CRFRNN(problem.unary.shape[1], kernels, problem.iterations, "symmetric").requires_grad_(False)


def without_compiled_code(plain: bool) -> AbstractContextManager[object]:
    """A context in which our code is plain torch, if `plain`."""
    return native.disabled() if plain else nullcontext()


def _ours(problem: Problem, threads: int, plain: bool, anew: bool) -> Callable[[], Tensor]:
    calls = count()

    def run() -> Tensor:
        torch.set_num_threads(threads)
        # The first call, whose result is compared with that of the peers, has the bandwidth they have.
        detuning = _DETUNING[next(_detuned) % len(_DETUNING)] if anew and next(calls) else 0.0
        with without_compiled_code(plain):
            return layer(problem, THETA_GAMMA + detuning)(problem.unary, problem.image).softmax(1)

    return run


def _pydensecrf(problem: Problem, index: int) -> Tensor:
    """Beliefs [L, H, W] of one image with pydensecrf2."""
    from pydensecrf import densecrf

    labels, height, width = problem.unary.shape[1:]
    crf = densecrf.DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(np.ascontiguousarray(-rearrange(problem.unary[index], "l h w -> l (h w)").numpy()))
    crf.addPairwiseGaussian(sxy=THETA_GAMMA, compat=WEIGHTS["smoothness"])
    alpha, beta = problem.thetas
    crf.addPairwiseBilateral(sxy=alpha, srgb=beta, rgbim=_rgb(problem, index), compat=WEIGHTS["appearance"])
    return torch.from_numpy(np.array(crf.inference(problem.iterations))).view(labels, height, width)


def _simplecrf(problem: Problem, index: int) -> Tensor:
    """Labels [H, W] of one image with SimpleCRF, whose unaries have to be `clipped` already."""
    import denseCRF

    # Not softmax: clipped beliefs do not sum to 1, and those scaled to do so would be clipped once more.
    beliefs = rearrange(problem.unary[index].exp(), "l h w -> h w l").contiguous().numpy()
    alpha, beta = problem.thetas
    settings = (WEIGHTS["appearance"], alpha, beta, WEIGHTS["smoothness"], THETA_GAMMA, problem.iterations)
    return torch.from_numpy(denseCRF.densecrf(_rgb(problem, index), beliefs, tuple(map(float, settings)))).long()


def _rgb(problem: Problem, index: int) -> np.ndarray:
    return np.ascontiguousarray(rearrange(problem.image[index], "c h w -> h w c").to(torch.uint8).numpy())


def clipped(unary: Tensor) -> Tensor:
    """The logits that SimpleCRF computes with when it is given the beliefs softmax(unary), [B, L, H, W]."""
    return unary.softmax(1).clamp(BELIEF_FLOOR, 1 - BELIEF_FLOOR).log()


def gate(left: Tensor, right: Tensor, names: str = "two systems") -> dict[str, float]:
    """How near two results of one problem are: beliefs [B, L, H, W], or labels [B, H, W] where a side has only those.

    Raises ValueError where equal labels are fewer than 99.9 %, or beliefs differ by more than 1e-3 on average.
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
            "1e-3): timing them would compare different things"
        )
    return figures


def gradient_gate(left: Sequence[Tensor], right: Sequence[Tensor]) -> dict[str, float]:
    """Largest relative RMS difference of two lists of gradients. Raises ValueError where it is above 1e-3."""
    differences = [float((a - b).norm() / b.norm()) for a, b in zip(left, right, strict=True)]
    if not all(difference <= 1e-3 for difference in differences):
        raise ValueError(
            f"gradients differ by {', '.join(f'{each:.1e}' for each in differences)} (relative RMS); wanted at most 1e-3: "
            "timing their computation would compare different things"
        )
    return {"relative difference of gradients": max(differences)}
