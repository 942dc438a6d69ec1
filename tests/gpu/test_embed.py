"""The simplices of points and the keys of their vertices in Triton against plain torch, to the last bit."""

import pytest
import torch
from torch import Tensor

from crfrnn import gpu
from crfrnn.lattice.embed import Simplex, elevate, elevation_scales, enclosing_simplex
from crfrnn.lattice.keys import Packing, plan_packing

if gpu.runs(torch.empty(0)):
    from crfrnn.gpu import embed

pytestmark = pytest.mark.skipif(
    not gpu.runs(torch.empty(0)),
    reason="2026-11-27: needs a GPU, or Triton and TRITON_INTERPRET=1; .ci/gpu runs these",
)


def points(dimensions: int, dtype: torch.dtype) -> Tensor:
    """Random ones, and many where simplices meet: at vertices, and on their borders, to within rounding."""
    spread = 30 * torch.randn(300, dimensions, dtype=dtype)
    scales = torch.tensor(elevation_scales(dimensions, dtype), dtype=dtype)
    return torch.cat([spread, spread.round(), spread.round() / scales, torch.zeros(1, dimensions, dtype=dtype)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("dimensions", [1, 2, 3, 5, 7, 9])
def test_simplices_and_keys(dimensions: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    features = points(dimensions, dtype)
    wanted = enclosing_simplex(elevate(features))
    got = Simplex(*embed.simplices(features, elevation_scales(dimensions, dtype)))
    for ours, theirs in zip(got, wanted, strict=True):
        assert torch.equal(ours.to(theirs.dtype), theirs)
    monkeypatch.setenv("CRFRNN_GPU", "torch")
    assert_keys_equal(plan_packing(got.corner.amin(1), got.corner.amax(1), features[None], False), got, monkeypatch)


def test_keys_that_are_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    simplex = Simplex(*embed.simplices(points(5, torch.float32), elevation_scales(5, torch.float32)))
    packing = Packing([-7, 3, 0, 2**20, -(2**30)], [2**63 - 1, -(2**62) - 1, 3, 2**61 + 1, 5, -9], torch.int64)
    assert_keys_equal(packing, simplex, monkeypatch)


def assert_keys_equal(packing: Packing, simplex: Simplex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRFRNN_GPU", "torch")
    wanted = packing.pack(simplex, 1)
    monkeypatch.delenv("CRFRNN_GPU")
    assert torch.equal(packing.pack(simplex, 1), wanted)
    assert wanted.dtype == packing.dtype
