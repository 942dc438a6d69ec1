"""The exact filter against the dense sum, over several tiles."""

import pytest
import torch
from torch import Tensor

from crfrnn.lattice import exact, exact_gaussian_filter
from tests.lattice.yardsticks import dense_gaussian


@pytest.fixture(params=[1, 50, 10**9], ids=["rows", "tiles", "whole"])
def tile_entries(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Tiles of one row, of three rows for B = 2 and N = 8, and of everything."""
    monkeypatch.setattr(exact, "TILE_ENTRIES", request.param)
    return request.param


@pytest.mark.usefixtures("tile_entries")
@pytest.mark.parametrize("dimensions", [1, 2, 5, 8])
def test_dense_sum_and_its_gradients(dimensions: int) -> None:
    features = torch.randn(2, 8, dimensions, dtype=torch.float64, requires_grad=True)
    values = torch.randn(2, 8, 3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(exact_gaussian_filter(values, features), dense_gaussian(features) @ values)
    assert torch.autograd.gradcheck(exact_gaussian_filter, (values, features))


@pytest.mark.parametrize("wanted", ["values", "features"])
def test_gradient_to_one_argument_alone(wanted: str) -> None:
    inputs = {name: torch.randn(1, 6, 2, dtype=torch.float64) for name in ("values", "features")}
    inputs[wanted].requires_grad_()

    def run(only: Tensor) -> Tensor:
        return exact_gaussian_filter(**{**inputs, wanted: only})

    assert torch.autograd.gradcheck(run, inputs[wanted])


def test_float32_far_from_the_origin() -> None:
    """Distances by the expanded product would have an error of the order of 1 here."""
    features = 3000 + torch.randn(1, 100, 3)
    values = torch.rand(1, 100, 2)
    wanted = dense_gaussian(features.double()) @ values.double()
    torch.testing.assert_close(exact_gaussian_filter(values, features).double(), wanted, rtol=1e-5, atol=1e-5)


def test_non_contiguous_single_point_and_channel() -> None:
    values, features = torch.rand(3, 7, 2).double().permute(2, 1, 0), torch.rand(2, 4, 7).double().mT
    torch.testing.assert_close(exact_gaussian_filter(values, features), dense_gaussian(features) @ values)
    one = torch.full((1, 1, 1), 2.0)
    assert torch.equal(exact_gaussian_filter(one, torch.zeros(1, 1, 4)), one)
