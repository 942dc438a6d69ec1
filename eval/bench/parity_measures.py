"""The comparison of crfrnn.densecrf with pydensecrf2, for `eval.bench.parity`: the same lines with two modules."""

import itertools
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

import crfrnn.densecrf
from crfrnn.presets import FixedCRF
from eval.bench.peers import PYDENSECRF_NORMALIZATIONS, pydensecrf_model

CRFS = (FixedCRF(10, 80, 13, 3, 3), FixedCRF(10, 160, 3, 3, 3))
NORMALIZATIONS = tuple(PYDENSECRF_NORMALIZATIONS.values())
KERNELS = ("CONST_KERNEL", "DIAG_KERNEL", "FULL_KERNEL")
COMPATS = ("number", "vector", "matrix")
UNNORMALIZED_SCALE = 0.01  # of the weights: sums over all neighbors are hundreds of times the mean
MAX_DIFFERENCE, LEAST_AGREEMENT = 1e-3, 0.999
HELPER_DIFFERENCE = 1e-5  # of energies and features: one rounding
KL_DIFFERENCE = 5e-3  # relative: pydensecrf sums millions of products in float32


def compat(kind: str, weight: float, labels: int) -> float | np.ndarray:
    """A compat of the given kind and about the given strength; the matrix is not symmetric."""
    generator = np.random.default_rng(0)
    if kind == "number":
        return weight
    if kind == "vector":
        return (-weight * generator.uniform(0.5, 1, labels)).astype(np.float32)
    return (weight * (generator.uniform(0.5, 1, (labels, labels)) - np.eye(labels))).astype(np.float32)


def image_crf(
    module: ModuleType, energy: np.ndarray, image: np.ndarray, crf: FixedCRF,
    normalization: str, kernel: str, kind: str,
) -> Any:  # fmt: skip
    """A DenseCRF2D of `module`, ready for inference."""
    scale = UNNORMALIZED_SCALE if normalization == "NO_NORMALIZATION" else 1
    compats = [compat(kind, scale * weight, len(energy)) for weight in (crf.smoothness_weight, crf.appearance_weight)]
    options = {"kernel": getattr(module, kernel), "normalization": getattr(module, normalization)}
    return pydensecrf_model(module, energy, image, crf, *compats, **options)


def stepwise(module: ModuleType, energy: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, float]:
    """Beliefs and KL divergence after three single steps of a DenseCRF with features from the helper functions."""
    height, width = image.shape[:2]
    helpers = utils(module)
    crf = module.DenseCRF(height * width, len(energy))
    crf.setUnary(module.ConstUnary(energy))
    crf.addPairwiseEnergy(helpers.create_pairwise_gaussian((3, 5), (height, width)), compat=3)
    crf.addPairwiseEnergy(helpers.create_pairwise_bilateral((60, 80), (13, 14, 15), image, chdim=2), compat=10)
    beliefs, *buffers = crf.startInference()
    for _ in range(3):
        crf.stepInference(beliefs, *buffers)
    return np.array(beliefs), crf.klDivergence(beliefs)


def helper_outputs(module: ModuleType, energy: np.ndarray, image: np.ndarray) -> dict[str, np.ndarray]:
    """What the helper functions of `module` return."""
    helpers = utils(module)
    probabilities = np.exp(-energy) / np.exp(-energy).sum(0)
    labels = energy.argmin(0).reshape(image.shape[:2])
    count = len(energy)
    return {
        "unary_from_softmax": helpers.unary_from_softmax(probabilities),
        "unary_from_softmax, scale": helpers.unary_from_softmax(probabilities, scale=0.7, clip=None),
        "unary_from_labels": helpers.unary_from_labels(labels, count - 1, 0.7),
        "unary_from_labels, no 0": helpers.unary_from_labels(labels, count, 0.7, zero_unsure=False),
        "create_pairwise_gaussian": helpers.create_pairwise_gaussian((3, 7), image.shape[:2]),
        "create_pairwise_bilateral": helpers.create_pairwise_bilateral((80, 60), (13, 3, 5), image, chdim=2),
        "create_pairwise_bilateral, gray": helpers.create_pairwise_bilateral((80, 60), 13, image[..., 0]),
    }


def utils(module: ModuleType) -> ModuleType:
    """The module with the helper functions of `module`."""
    if module is crfrnn.densecrf:
        return crfrnn.densecrf.utils
    import pydensecrf.utils

    return pydensecrf.utils


def beliefs_row(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """How close two sets of beliefs [L, N] are."""
    difference = float(np.abs(ours - theirs).max())
    agreement = float((ours.argmax(0) == theirs.argmax(0)).mean())
    return {
        "max difference": difference,
        "equal labels": agreement,
        "met": difference < MAX_DIFFERENCE and agreement >= LEAST_AGREEMENT,
    }


def compare_grid(
    modules: Sequence[ModuleType], energy: np.ndarray, image: np.ndarray, iterations: int
) -> list[dict[str, Any]]:
    """One row for each combination."""
    rows = []
    combinations = list(itertools.product(CRFS, NORMALIZATIONS, KERNELS, COMPATS))
    for crf, normalization, kernel, kind in tqdm(combinations, desc="combinations", disable=None):
        ours, theirs = (
            np.array(image_crf(module, energy, image, crf, normalization, kernel, kind).inference(iterations))
            for module in modules
        )
        names = {
            "thetas": (crf.theta_alpha, crf.theta_beta),
            "normalization": normalization,
            "kernel": kernel,
            "compat": kind,
        }
        rows.append({**names, **beliefs_row(ours, theirs)})
    return rows


def compare_rest(modules: Sequence[ModuleType], energy: np.ndarray, image: np.ndarray) -> list[dict[str, Any]]:
    """Rows for single steps, the KL divergence and the helper functions."""
    (ours, our_kl), (theirs, their_kl) = (stepwise(module, energy, image) for module in modules)
    error = abs(our_kl - their_kl) / abs(their_kl)
    rows = [
        {"what": "DenseCRF, three single steps", **beliefs_row(ours, theirs)},
        {"what": "klDivergence, relative", "max difference": error, "met": error < KL_DIFFERENCE},
    ]
    left, right = (helper_outputs(module, energy, image) for module in modules)
    for name, value in left.items():
        same = value.shape == right[name].shape and value.dtype == right[name].dtype
        difference = float(np.abs(value - right[name]).max()) if same else None
        met = difference is not None and difference < HELPER_DIFFERENCE
        rows.append({"what": name, "max difference": difference, "met": met})
    return rows
