"""The yardsticks of the lattice's accuracy, against hand-computed numbers and the dense mean field of the tests."""

import math

import pytest
import torch

from crfrnn.lattice import exact_gaussian_filter
from eval.bench.accuracy_measures import (
    appearance_rows,
    exact_kernel,
    exact_mean_field,
    filter_figures,
    gaussian_features,
    mean_rows,
    raw_figures,
    relative_rms,
)
from tests.dense_meanfield import dense_features, dense_kernel, dense_meanfield, dense_normalized


def test_errors_by_hand() -> None:
    assert raw_figures(torch.tensor([2.0, 0.0]), torch.tensor([4.0, 0.0])) == (0.5, 0.0)
    scale, error = raw_figures(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0]))
    assert scale == 1.0
    assert error == pytest.approx(math.sin(math.pi / 4))
    assert relative_rms(torch.tensor([3.0, 4.5]), torch.tensor([3.0, 4.0])) == pytest.approx(0.1)


def test_exact_kernel() -> None:
    assert exact_kernel(torch.tensor([[0.0], [1.0]])).flatten().tolist() == pytest.approx(
        [1, math.exp(-0.5), math.exp(-0.5), 1]
    )
    features, values = torch.randn(300, 3), torch.randn(300, 2)
    expected = exact_gaussian_filter(values[None], features[None])[0]
    assert torch.allclose(exact_kernel(features) @ values, expected, atol=1e-4)


def test_exact_mean_field_is_that_of_the_tests() -> None:
    image, unaries = 255 * torch.rand(3, 5, 6), 2 * torch.randn(2, 30, 4)
    features = [dense_features(image, 3.0), dense_features(image, 20.0, 30.0)]
    assert torch.equal(gaussian_features(image, 20.0, 30.0), features[1])
    beliefs = exact_mean_field(unaries, [exact_kernel(each) for each in features], (3.0, 10.0), 4)
    kernels = [dense_normalized(dense_kernel(each), "symmetric", False) for each in features]
    weights = [3 * torch.eye(4), 10 * torch.eye(4)]
    for unary, found in zip(unaries, beliefs, strict=True):
        logits = dense_meanfield(unary, kernels, weights, 1 - torch.eye(4), 4)
        assert torch.allclose(found, logits.softmax(1), atol=1e-5)


def test_lattice_on_one_vertex() -> None:
    """Points at the origin of one dimension lie on a vertex, and 2 / 3 of what is blurred back to it is what they get.

    Two blurs along the one line: with both neighbors 1 + 2 / 4 comes back, with the one of its simplex 1 + 1 / 4.
    """
    features, values = torch.zeros(4, 1), torch.rand(4, 3)
    for dilate, scale in ((False, 2 / 3 * 1.25), (True, 2 / 3 * 1.5)):
        figures = filter_figures(features, exact_kernel(features), values, dilate)
        assert figures["raw scale"] == pytest.approx(scale, rel=1e-5)
        assert figures["raw error"] == pytest.approx(0, abs=1e-5)
        assert figures["normalized error"] == pytest.approx(0, abs=1e-5)
    assert figures["vertices per pixel"] == 1.0  # two of the simplex and one more on each side, for four points


def test_rows_of_a_certain_unary() -> None:
    """Where the unary leaves no doubt, every mean field keeps its labels; where it leaves much, it does not."""
    image = 255 * torch.rand(3, 6, 8)
    certain = torch.zeros(3, 6, 8)
    certain[torch.randint(3, (6, 8)), torch.arange(6)[:, None], torch.arange(8)] = 100.0
    rows = list(appearance_rows(image, {"certain": certain, "faint": certain / 1000}, [(20.0, 500.0)]))
    assert [(row["unary"], row["dilate"]) for row in rows] == [
        ("certain", False), ("certain", True), ("faint", False), ("faint", True)
    ]  # fmt: skip
    assert [row["equal labels"] for row in rows[:2]] == [1, 1]
    assert [row["equal labels of the unary"] == 1 for row in rows] == [True, True, False, False]


def test_means_over_images() -> None:
    one = [{"unary": "a", "theta_gamma": 3.0, "dilate": True, "raw scale": 0.5}]
    other = [{"unary": "a", "theta_gamma": 3.0, "dilate": True, "raw scale": 0.75}]
    assert mean_rows([one, other]) == [{"unary": "a", "theta_gamma": 3.0, "dilate": True, "raw scale": 0.625}]
