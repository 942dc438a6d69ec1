"""Packed keys name one vertex of one image, also after the steps that the blur takes from it."""

import itertools

import pytest
import torch

from crfrnn.lattice.embed import elevate, enclosing_simplex
from crfrnn.lattice.keys import Packing, plan_packing


def unpack(packing: Packing, key: int) -> tuple[int, list[int]]:
    """Image and lattice coordinates of a key."""
    digits = []
    for stride in packing.strides[:-1]:
        digit, key = divmod(key, stride)
        digits.append(digit)
    image, *rest = [*digits, key]
    return image, [digit + origin for digit, origin in zip(rest, packing.origin, strict=True)]


@pytest.mark.parametrize("dilate", [False, True])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_steps_do_not_carry(dilate: bool, dimensions: int) -> None:
    """The blur looks one step beyond the points, with dilation two."""
    features = 2 * torch.randn(2, 10, dimensions)
    simplex = enclosing_simplex(elevate(features.flatten(0, 1)))
    packing = plan_packing(simplex.corner.amin(1), simplex.corner.amax(1), features, dilate)
    keys = packing.pack(simplex, 2)
    moves = [*torch.eye(dimensions).long().tolist(), [-1] * dimensions]
    signed = [(sign * step, [sign * x for x in move]) for step, move in zip(packing.steps, moves, strict=True)
              for sign in (1, -1)]  # fmt: skip
    for point in range(20):
        vertex = simplex.corner[:, point].long()
        for corner in range(dimensions + 1):
            if corner > 0:
                vertex[simplex.axes[corner - 1, point]] += 1
            for path in itertools.product(signed, repeat=2 if dilate else 1):
                key = int(keys[point, corner]) + sum(step for step, _ in path)
                wanted = (vertex + torch.tensor([move for _, move in path]).sum(0)).tolist()
                assert unpack(packing, key) == (point // 10, wanted)
