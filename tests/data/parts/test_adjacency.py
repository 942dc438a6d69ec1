"""Adjacency counted by hand, and the penalties it gives."""

import pytest
import torch

from crfrnn.data.parts import adjacency, adjacency_penalties

V = 255
MAP = torch.tensor([[0, 0, 1], [2, 2, 1], [V, 2, 2]], dtype=torch.uint8)


def test_pairs_are_counted_by_hand() -> None:
    # Vertical: 0-2, 0-2, 2-void, 1-2 (right column: 1-1 and 1-2). Horizontal: 0-1, 2-1, void-2.
    assert adjacency([MAP], 4).tolist() == [[0, 1, 2, 0], [1, 0, 2, 0], [2, 2, 0, 0], [0, 0, 0, 0]]
    assert torch.equal(adjacency([MAP, MAP.T.contiguous()], 4), 2 * adjacency([MAP], 4))


def test_labels_that_touch_cost_less() -> None:
    penalties = adjacency_penalties(adjacency([MAP], 4), discount=0.6)
    # Borders: 3, 3, 4, 0. Shared: 0-1 1 of 3, 0-2 and 1-2 2 of 3.
    expected = [[0, 0.8, 0.6, 1], [0.8, 0, 0.6, 1], [0.6, 0.6, 0, 1], [1, 1, 1, 0]]
    assert torch.allclose(penalties, torch.tensor(expected))


def test_without_discount_or_borders_it_is_potts() -> None:
    potts = 1 - torch.eye(4)
    assert torch.equal(adjacency_penalties(adjacency([MAP], 4), discount=0.0), potts)
    assert torch.equal(adjacency_penalties(adjacency([], 4)), potts)
    with pytest.raises(ValueError, match=r"discount is 1\.5"):
        adjacency_penalties(adjacency([], 4), discount=1.5)
