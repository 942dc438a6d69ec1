"""The backends over which the contract suite runs."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from torch import Tensor

from crfrnn import native
from crfrnn.lattice import Lattice


class Backend(NamedTuple):
    """A way to build lattices: build(features [B, N, D], dilate=...) -> Lattice."""

    name: str
    build: Callable[..., Lattice]


def build_in_torch(features: Tensor, *, dilate: bool = False) -> Lattice:
    with native.disabled():
        return Lattice.build(features, dilate=dilate)


BACKENDS = [Backend("torch", build_in_torch), Backend("compiled", Lattice.build)]


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.param
