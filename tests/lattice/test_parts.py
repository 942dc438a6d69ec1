"""Bags of pairs cut into parts, so that no thread of a GPU sums a whole sky."""

import pytest
import torch

from crfrnn.lattice.tables import PART_PAIRS, Tables


def tables(sizes: list[int]) -> Tables:
    """With bags of these sizes, and nothing else that parts depend on."""
    starts = torch.tensor([sum(sizes[:v]) for v in range(len(sizes))], dtype=torch.int32)
    pairs = torch.zeros(sum(sizes), dtype=torch.int32)
    empty = torch.empty(0)
    return Tables(empty, pairs, pairs, starts, empty, empty)


def test_by_hand() -> None:
    """Bags of 70, 0, 60 and 130 pairs have 1 + 1, 1, 1 + 1 and 1 + 2 parts; the one of 60 needs but one."""
    assert PART_PAIRS == 64
    begin, start = tables([70, 0, 60, 130]).parts
    assert start.tolist() == [0, 2, 3, 5, 8]
    assert begin.tolist() == [0, 64, 70, 70, 130, 130, 194, 258]


@pytest.mark.parametrize("seed", range(5))
def test_every_pair_is_in_one_part_of_its_vertex(seed: int) -> None:
    sizes = (torch.randint(0, 1000, (200,), generator=torch.Generator().manual_seed(seed)) ** 2 // 900).tolist()
    sizes[-1] = [0, 1, 64, 65, 640][seed]
    begin, start = tables(sizes).parts
    pairs = sum(sizes)
    assert len(begin) == start[-1] == len(sizes) + pairs // PART_PAIRS
    ends = torch.cat([begin[1:], torch.tensor([pairs])])
    lengths = (ends - begin).tolist()
    assert all(0 <= length <= PART_PAIRS for length in lengths)
    for v, size in enumerate(sizes):
        own = lengths[start[v] : start[v + 1]]
        assert sum(own) == size
        assert len(own) <= 1 + -(-size // PART_PAIRS)
        assert begin[start[v]] == sum(sizes[:v])
