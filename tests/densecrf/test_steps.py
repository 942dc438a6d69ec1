"""Steps, klDivergence and inference against each other and pydensecrf2, whatever was computed before."""

import copy
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pydensecrf.densecrf
import pytest
import torch

import crfrnn.densecrf as dcrf
from crfrnn.native import disabled
from tests.threads import threads

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


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda crf: pickle.loads(pickle.dumps(crf))])
@pytest.mark.parametrize("native", [True, False], ids=["compiled", "plain"])
def test_copies_of_a_crf_that_was_used(native: bool, copied: Callable[[Any], Any]) -> None:
    with nullcontext() if native else disabled():
        crf = crf_of(dcrf, energy_of(3))
        wanted = crf.inference(2)
        crf.klDivergence(wanted)
        other = copied(crf)
        del crf
        np.testing.assert_array_equal(other.inference(2), wanted)


@pytest.mark.parametrize("native", [True, False], ids=["compiled", "plain"])
def test_beliefs_that_are_not_finite_are_refused_and_stay(native: bool) -> None:
    with nullcontext() if native else disabled():
        crf = crf_of(dcrf, energy_of(3))
        beliefs = crf.inference(0)
        beliefs[1, 7] = np.nan
        before = beliefs.copy()
        for call in (crf.klDivergence, crf.stepInference, crf.stepInference):
            with pytest.raises(ValueError, match="Q holds NaN"):
                call(beliefs)
        np.testing.assert_array_equal(beliefs, before)


def test_pixels_too_far_apart_are_refused() -> None:
    """Positions whose bandwidth is so small that float32 has no fractions left."""
    crf = dcrf.DenseCRF2D(WIDTH, HEIGHT, 3)
    crf.setUnaryEnergy(energy_of(3))
    crf.addPairwiseBilateral(1e-8, 50, IMAGE, 1)
    with pytest.raises(ValueError, match="reach too far"):
        crf.inference(1)


@pytest.mark.parametrize("size", [(3, 1), (20, 30), (90, 80)])
def test_numbers_of_threads_agree(size: tuple[int, int]) -> None:
    """From images of fewer pixels than threads to such as are worth several."""
    height, width = size
    image, energy = (
        RANDOM.integers(0, 256, (height, width, 3)).astype(np.uint8),
        RANDOM.normal(size=(9, height * width)),
    )
    results = []
    for count in (1, 5):
        with threads(count):
            crf = dcrf.DenseCRF2D(width, height, 9)
            crf.setUnaryEnergy(energy)
            crf.addPairwiseGaussian(sxy=2, compat=1.5)
            crf.addPairwiseBilateral(9, 50, image, 2)
            beliefs, divergences = loop(crf)
            results.append([crf.inference(3), beliefs, divergences])
    for one, several in zip(*results, strict=True):
        np.testing.assert_allclose(several, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("native", [True, False], ids=["compiled", "plain"])
def test_beliefs_in_any_layout_are_stepped_in_place(native: bool) -> None:
    energy = energy_of(3)
    with nullcontext() if native else disabled():
        crf = crf_of(dcrf, energy)
        wanted, start = crf.inference(1), crf.inference(0)
        wide = np.zeros((3, 2 * POINTS), np.float32)
        layouts = {
            "labels first": start.copy(),
            "points first": np.asfortranarray(start),
            "double": start.astype(np.float64),
            "every other column": wide[:, ::2],
            "tensor": torch.from_numpy(start.copy()),
        }
        wide[:, ::2] = start
        for name, beliefs in layouts.items():
            for _ in range(2):  # what the divergence remembers is not what the step writes to
                crf.klDivergence(beliefs)
            crf.stepInference(beliefs)
            np.testing.assert_allclose(beliefs, wanted, atol=1e-6, err_msg=name)
            crf.stepInference(beliefs)
            np.testing.assert_allclose(beliefs, crf.inference(2), atol=1e-6, err_msg=name)
        assert not wide[:, 1::2].any()
