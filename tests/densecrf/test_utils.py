"""The helper functions against values computed by hand."""

import math

import numpy as np
import pytest
import torch

from crfrnn.densecrf.utils import (
    compute_unary,
    create_pairwise_bilateral,
    create_pairwise_gaussian,
    softmax_to_unary,
    unary_from_labels,
    unary_from_softmax,
)

HIGH, LOW, UNSURE = -math.log(0.8), -math.log(0.1), math.log(3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint32])
def test_unary_from_labels_with_unsure_pixels(dtype: type) -> None:
    """Unsigned ones, too, where 0 - 1 would wrap around."""
    energy = unary_from_labels(np.array([[0, 1], [3, 2]], dtype), 3, 0.8)
    wanted = [[UNSURE, HIGH, LOW, LOW], [UNSURE, LOW, LOW, HIGH], [UNSURE, LOW, HIGH, LOW]]
    np.testing.assert_allclose(energy, wanted, rtol=1e-6)
    assert energy.dtype == np.float32


def test_unary_from_labels_without_unsure_pixels() -> None:
    energy = unary_from_labels([0, 2, 1], 3, 0.8, zero_unsure=False)
    np.testing.assert_allclose(energy, [[HIGH, LOW, LOW], [LOW, LOW, HIGH], [LOW, HIGH, LOW]], rtol=1e-6)


def test_unary_from_softmax() -> None:
    probabilities = np.array([[[0.0, 0.25]], [[1.0, 0.75]]])
    energy = unary_from_softmax(probabilities)
    np.testing.assert_allclose(energy, [[-math.log(1e-5), -math.log(0.25)], [0, -math.log(0.75)]], rtol=1e-6)
    assert energy.dtype == np.float32
    scaled = unary_from_softmax(probabilities, scale=0.5, clip=None)
    np.testing.assert_allclose(scaled, -np.log([[0.25, 0.375], [0.75, 0.625]]), rtol=1e-6)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(
            unary_from_softmax(probabilities, clip=None)[0], [np.inf, -math.log(0.25)], rtol=1e-6
        )


def test_deprecated_names_warn() -> None:
    with pytest.warns(DeprecationWarning, match="unary_from_labels"):
        np.testing.assert_array_equal(compute_unary(np.array([1, 2, 0]), 2), unary_from_labels([1, 2, 0], 2, 0.5))
    with pytest.warns(DeprecationWarning, match="unary_from_softmax"):
        np.testing.assert_allclose(
            softmax_to_unary(np.array([0.25, 0.75]), 0.5), -np.log([[0.375], [0.625]]), rtol=1e-6
        )


def test_features_of_a_grid_follow_its_axes() -> None:
    """y first, where addPairwiseGaussian has x first."""
    features = create_pairwise_gaussian((2, 4), (2, 3))
    np.testing.assert_allclose(features, [[0, 0, 0, 0.5, 0.5, 0.5], [0, 0.25, 0.5, 0, 0.25, 0.5]])
    assert features.dtype == np.float32


def test_features_of_an_image() -> None:
    image = np.array([[[10, 20], [30, 40]]], np.uint8)
    wanted = [[0, 0], [0, 0.5], [1, 3], [1, 2]]
    np.testing.assert_allclose(create_pairwise_bilateral((1, 2), (10, 20), image, chdim=2), wanted)
    np.testing.assert_allclose(create_pairwise_bilateral((1, 2), (10, 20), image.transpose(2, 0, 1), chdim=0), wanted)
    gray = create_pairwise_bilateral((1, 2), 10, image[..., 0])
    np.testing.assert_allclose(gray, [[0, 0], [0, 0.5], [1, 3]])
    volume = create_pairwise_bilateral((1, 2, 4), 10, image, chdim=-1)
    np.testing.assert_allclose(volume, [[0, 0, 0, 0], [0, 0, 0.5, 0.5], [0, 0.25, 0, 0.25], [1, 2, 3, 4]])


def test_tensors_come_back_as_tensors() -> None:
    image, labels = torch.zeros(3, 4, 2), torch.tensor([1, 2])
    for out in (
        create_pairwise_bilateral((1, 1), 1, image, chdim=2),
        unary_from_labels(labels, 2, 0.5),
        unary_from_softmax(torch.rand(2, 4).double()),
    ):
        assert isinstance(out, torch.Tensor)
        assert out.dtype == torch.float32


def test_bad_input() -> None:
    probabilities = np.full((2, 4), 0.5)
    with pytest.raises(ValueError, match=r"255; wanted 0\.\.2"):
        unary_from_labels(np.array([0, 255], np.uint8), 2, 0.5)
    with pytest.raises(ValueError, match=r"-3 to 1; wanted 0\.\.1"):
        unary_from_labels([1, -3], 2, 0.5, zero_unsure=False)
    with pytest.raises(ValueError, match=r"-2 to 1; wanted 0\.\.2"):
        unary_from_labels([1, -2], 2, 0.5)
    with pytest.raises(TypeError, match="whole numbers"):
        unary_from_labels(np.array([1.0]), 2, 0.5)
    with pytest.raises(ValueError, match="gt_prob is 1"):
        unary_from_labels([1], 2, 1)
    with pytest.raises(ValueError, match="n_labels is 0"):
        unary_from_labels([1], 0, 0.5)
    with pytest.raises(ValueError, match="NaN"):
        unary_from_softmax(probabilities * np.nan)
    with pytest.raises(ValueError, match="at least one"):
        unary_from_softmax(probabilities[:0])
    with pytest.raises(ValueError, match="no logarithm"):
        unary_from_softmax(np.array([[-0.005], [1.005]]), clip=None)
    with pytest.raises(TypeError, match="clip is '1e-5'"):
        unary_from_softmax(probabilities, clip="1e-5")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="labels is a masked array with 1 masked"):
        unary_from_labels(np.ma.array([1, 2], mask=[0, 1]), 3, 0.5)
    with pytest.raises(ValueError, match="scale is 2"):
        unary_from_softmax(probabilities, scale=2)
    with pytest.warns(UserWarning, match="Logits need a softmax"):
        unary_from_softmax(10 * probabilities)
    with pytest.warns(UserWarning, match="chdim=2"):
        create_pairwise_bilateral((80, 80), 13, np.zeros((4, 5, 3)))
    with pytest.raises(ValueError, match="chdim is 3"):
        create_pairwise_bilateral((80, 80), 13, np.zeros((4, 5, 3)), chdim=3)
    with pytest.raises(TypeError, match="chdim is None"):
        create_pairwise_bilateral((80, 80), 13, np.zeros((4, 5, 3)), chdim=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="img holds NaN"):
        create_pairwise_bilateral((80, 80), 13, np.full((4, 5), np.nan))
    with pytest.raises(ValueError, match=r"img has shape \[0, 5\]"):
        create_pairwise_bilateral((80, 80), 13, np.zeros((0, 5)))
    with pytest.raises(ValueError, match=r"img has shape \[4\]; wanted one axis or more beside channels"):
        create_pairwise_bilateral(80, 13, np.zeros(4), chdim=0)
    with pytest.raises(ValueError, match="shape is empty"):
        create_pairwise_gaussian(3, ())
    with pytest.raises(ValueError, match="schan"):
        create_pairwise_bilateral((80, 80), (13, 13, 13, 13), np.zeros((4, 5, 3)), chdim=2)
    with pytest.raises(ValueError, match="sdims"):
        create_pairwise_gaussian((3, 3, 3), (4, 5))
    with pytest.raises(ValueError, match="sdims"):
        create_pairwise_gaussian((3, 0), (4, 5))
