"""What real scripts pass, against the installed pydensecrf2."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pydensecrf.densecrf
import pydensecrf.eigen
import pydensecrf.utils
import pytest

import crfrnn.densecrf as dcrf
from crfrnn.densecrf import utils
from crfrnn.native import disabled

LABELS, HEIGHT, WIDTH = 3, 6, 8
POINTS = HEIGHT * WIDTH
RANDOM = np.random.default_rng(2)
ENERGY = RANDOM.normal(size=(LABELS, POINTS)).astype(np.float32)
IMAGE = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def beliefs(module: Any, add: Callable[[Any], Any], iterations: int = 3) -> np.ndarray:
    """Those of `module`, pydensecrf's or ours, with the terms that `add` adds."""
    crf = module.DenseCRF2D(WIDTH, HEIGHT, LABELS)
    crf.setUnaryEnergy(ENERGY)
    add(crf)
    return np.array(crf.inference(iterations))


@pytest.mark.parametrize(
    "features",
    [
        lambda module: module.create_pairwise_bilateral((10, 10), (0.5,), IMAGE, chdim=2),
        lambda module: module.create_pairwise_bilateral((10,), (50, 60, 70), IMAGE, chdim=2),
        lambda module: module.create_pairwise_bilateral((10, 5), (50,), IMAGE),
    ],
    ids=["schan", "sdims", "an image without a channel axis"],
)
def test_axes_and_channels_beyond_the_bandwidths_stay_undivided(features: Callable[[Any], np.ndarray]) -> None:
    with pytest.warns(UserWarning, match="stay undivided") as warned:
        ours = features(utils)
    assert [warning.filename for warning in warned] == [__file__]
    np.testing.assert_allclose(ours, features(pydensecrf.utils), rtol=1e-6)


def test_a_grid_with_too_few_bandwidths_is_still_a_grid() -> None:
    """By hand: pydensecrf's has the shape of no CRF."""
    with pytest.warns(UserWarning, match="sdims"):
        features = utils.create_pairwise_gaussian((2,), (2, 3))
    np.testing.assert_allclose(features, [[0, 0, 0, 0.5, 0.5, 0.5], [0, 1, 2, 0, 1, 2]])


@pytest.mark.parametrize(
    "add",
    [
        lambda crf: crf.addPairwiseGaussian(sxy=(2, 3, 4), compat=3),
        lambda crf: crf.addPairwiseBilateral(sxy=(2, 3, 4), srgb=50, rgbim=IMAGE, compat=3),
        lambda crf: crf.addPairwiseBilateral(sxy=4, srgb=(50, 60, 70, 80), rgbim=IMAGE, compat=3),
    ],
    ids=["sxy", "sxy of appearance", "srgb"],
)
def test_bandwidths_beyond_the_axes_and_channels_are_not_looked_at(add: Callable[[Any], Any]) -> None:
    with pytest.warns(UserWarning, match="are used") as warned:
        ours = beliefs(dcrf, add)
    assert [warning.filename for warning in warned] == [__file__]
    np.testing.assert_allclose(ours, beliefs(pydensecrf.densecrf, add), atol=1e-5)


@pytest.mark.parametrize("native", [True, False], ids=["compiled", "plain"])
def test_one_label(native: bool) -> None:
    """By probabilities of one label, as scripts meet them on images that hold one class."""

    def run(module: Any) -> tuple[np.ndarray, np.ndarray, float]:
        crf = module.DenseCRF2D(WIDTH, HEIGHT, 1)
        crf.setUnaryEnergy(pydensecrf.utils.unary_from_softmax(IMAGE[None, ..., 0] / 255))
        crf.addPairwiseGaussian(3, 3)
        crf.addPairwiseBilateral(3, 40, IMAGE, np.array([[1.5]], np.float32))
        Q, tmp1, tmp2 = crf.startInference()
        crf.stepInference(Q, tmp1, tmp2)
        return np.array(crf.inference(3)), np.array(Q), crf.klDivergence(Q)

    with nullcontext() if native else disabled():
        for ours, theirs in zip(run(dcrf), run(pydensecrf.densecrf), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_energies_of_one_label() -> None:
    probabilities = RANDOM.random((1, HEIGHT, WIDTH))
    np.testing.assert_allclose(
        utils.unary_from_softmax(probabilities), pydensecrf.utils.unary_from_softmax(probabilities), rtol=1e-6
    )
    labels = RANDOM.integers(0, 2, (HEIGHT, WIDTH))
    # pydensecrf divides by zero where the number of labels is a plain 1.
    with np.errstate(divide="ignore"):
        wanted = pydensecrf.utils.unary_from_labels(labels, np.int64(1), 0.9)
        zero = pydensecrf.utils.unary_from_labels(0 * labels, np.int64(1), 0.9, zero_unsure=False)
    for count in (1, np.int64(1)):
        np.testing.assert_allclose(utils.unary_from_labels(labels, count, 0.9), wanted, rtol=1e-6)
        np.testing.assert_allclose(utils.unary_from_labels(0 * labels, count, 0.9, zero_unsure=False), zero, rtol=1e-6)


@pytest.mark.parametrize("zero_unsure", [True, False])
def test_negative_labels_count_from_the_last_row(zero_unsure: bool) -> None:
    labels = np.array([[-1, 0, 2], [1, -2, -1]])
    with pytest.warns(UserWarning, match="reach down to -2") as warned:
        ours = utils.unary_from_labels(labels, 4, 0.7, zero_unsure)
    assert [warning.filename for warning in warned] == [__file__]
    np.testing.assert_allclose(ours, pydensecrf.utils.unary_from_labels(labels, 4, 0.7, zero_unsure), rtol=1e-6)


def test_the_role_of_eigen() -> None:
    matrix, vector = RANDOM.normal(size=(2, 3)).astype(np.float32), np.arange(4, dtype=np.float32)
    for module in (dcrf.eigen, pydensecrf.eigen):
        np.testing.assert_array_equal(np.array(module.matrixXf(matrix)), matrix)
        np.testing.assert_array_equal(np.array(module.vectorXf(vector)), vector)
        assert np.array(module.MatrixXf()).size == np.array(module.VectorXf()).size == 0
    kept = dcrf.eigen.vectorXf(vector)
    vector[:] = 7
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(kept, [0, 1, 2, 3])
    with pytest.raises(ValueError, match=r"arr has shape \[2, 3\]; wanted \[n\]"):
        dcrf.eigen.vectorXf(matrix)
    with pytest.raises(ValueError, match=r"arr has shape \[4\]; wanted \[rows, columns\]"):
        dcrf.eigen.matrixXf(vector)


def test_beliefs_of_a_caller_serve_a_step_as_a_matrix_of_eigen() -> None:
    crf = dcrf.DenseCRF2D(WIDTH, HEIGHT, LABELS)
    crf.setUnaryEnergy(ENERGY)
    crf.addPairwiseGaussian(3, 3)
    beliefs = dcrf.eigen.matrixXf(crf.inference(1))
    crf.stepInference(beliefs, dcrf.eigen.MatrixXf(), dcrf.eigen.MatrixXf())
    np.testing.assert_allclose(beliefs, crf.inference(2), atol=1e-6)
