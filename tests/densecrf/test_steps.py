"""Steps, klDivergence and inference against each other and pydensecrf2, whatever was computed before."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pydensecrf.densecrf
import pytest

import crfrnn.densecrf as dcrf
from crfrnn.native import disabled

HEIGHT, WIDTH = 6, 8
POINTS = HEIGHT * WIDTH
RANDOM = np.random.default_rng(3)
IMAGE = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def crf_of(module: Any, energy: np.ndarray, compat: float = 2.0) -> Any:
    crf = module.DenseCRF2D(WIDTH, HEIGHT, len(energy))
    crf.setUnaryEnergy(energy)
    crf.addPairwiseGaussian(sxy=(2, 3), compat=1.5)
    crf.addPairwiseBilateral(4, 50, IMAGE, compat)
    return crf


def energy_of(num_labels: int) -> np.ndarray:
    return RANDOM.normal(size=(num_labels, POINTS)).astype(np.float32)


def loop(crf: Any) -> tuple[np.ndarray, list[float]]:
    """What users of the steps write: watch the divergence until it stays."""
    Q, tmp1, tmp2 = crf.startInference()
    divergences = []
    for _ in range(3):
        crf.stepInference(Q, tmp1, tmp2)
        divergences.append(crf.klDivergence(Q))
    return np.array(Q), divergences


@pytest.mark.parametrize("num_labels", [2, 3, 9])
@pytest.mark.parametrize("native", [True, False], ids=["compiled", "plain"])
def test_a_loop_of_steps_equals_that_of_pydensecrf(num_labels: int, native: bool) -> None:
    energy = energy_of(num_labels)
    wanted, divergences = loop(crf_of(pydensecrf.densecrf, energy))
    with nullcontext() if native else disabled():
        crf = crf_of(dcrf, energy)
        beliefs, ours = loop(crf)
        np.testing.assert_allclose(crf.inference(3), wanted, atol=1e-5)
    np.testing.assert_allclose(beliefs, wanted, atol=1e-5)
    np.testing.assert_allclose(ours, divergences, rtol=1e-4)


@pytest.mark.parametrize("change", ["beliefs", "unary", "term"])
def test_what_changed_since_the_divergence_counts_in_the_next_step(change: str) -> None:
    energy, other = energy_of(3), energy_of(3)
    start = crf_of(dcrf, other).inference(0)
    crf = crf_of(dcrf, energy)
    beliefs = crf.inference(1)
    crf.klDivergence(beliefs)
    if change == "beliefs":
        beliefs[...] = start
    elif change == "unary":
        crf.setUnaryEnergy(other)
    else:
        crf.addPairwiseGaussian(1, 0.7)
    fresh = crf_of(dcrf, other if change == "unary" else energy)
    if change == "term":
        fresh.addPairwiseGaussian(1, 0.7)
    wanted = beliefs.copy()
    fresh.stepInference(wanted)
    crf.stepInference(beliefs)
    np.testing.assert_allclose(beliefs, wanted, atol=1e-6)


def test_images_of_one_size_share_only_what_is_equal() -> None:
    """Every result equals that of pydensecrf, which builds all anew."""
    energy = energy_of(3)
    for sxy in [(2, 3), (3, 2), 2]:
        for normalization in dcrf.NormalizationType:
            for height, width in [(HEIGHT, WIDTH), (WIDTH, HEIGHT)]:
                beliefs = []
                for module in (dcrf, pydensecrf.densecrf):
                    crf = module.DenseCRF2D(width, height, 3)
                    crf.setUnaryEnergy(energy)
                    crf.addPairwiseGaussian(
                        sxy, 0.3, normalization=getattr(module, dcrf.NormalizationType(normalization).name)
                    )
                    beliefs.append(np.array(crf.inference(2)))
                np.testing.assert_allclose(*beliefs, atol=1e-5)
