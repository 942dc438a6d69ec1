"""Every sample follows from seed and position: shuffled epochs, the same after an interruption."""

import itertools

import pytest

from train.distributed import Processes
from train.loss import shares
from train.recipes import Stage
from train.stream import Passes, positions, step_seed


def test_an_epoch_visits_every_image_once() -> None:
    flat = [index for batch in positions(7, 3, range(0, 7), seed=0) for index, _ in batch]
    assert len(flat) == 21
    epochs = [flat[:7], flat[7:14], flat[14:]]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_a_later_start_goes_on_where_an_earlier_one_would_be() -> None:
    whole = list(positions(5, 2, range(0, 9), seed=3))
    assert list(positions(5, 2, range(4, 9), seed=3)) == whole[4:]
    assert list(positions(5, 2, range(0, 9), seed=4)) != whole


def test_no_augmentation_comes_twice() -> None:
    seeds = [seed for batch in positions(4, 2, range(0, 50), seed=0) for _, seed in batch]
    assert len(set(seeds)) == 100


def test_processes_and_passes_share_out_each_batch() -> None:
    """Two processes of two passes each read what one process of one pass reads, step by step."""
    stage = Stage(steps=5, batch_size=4, lr=1.0, accumulate=2)
    parts = [list(Passes(7, stage, 1, 0, Processes(rank, 2))) for rank in (0, 1)]
    whole = list(positions(7, 4, range(1, 5), 0))
    assert [len(passes) for part in parts for passes in part] == [1] * 16
    for step, batch in enumerate(whole):
        read = [sample for part in parts for passes in part[2 * step : 2 * step + 2] for sample in passes]
        assert sorted(read) == sorted(batch)


def test_batches_that_cannot_be_shared_out_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size is 6; wanted a multiple of the 2 processes times the 2 passes"):
        shares(Stage(steps=1, batch_size=6, lr=1.0, accumulate=2), 2)
    with pytest.raises(ValueError, match="raise accumulate to 4"):
        shares(Stage(steps=1, batch_size=4, lr=1.0, crop=None), 1)
    assert shares(Stage(steps=1, batch_size=4, lr=1.0, accumulate=2, crop=None), 2) == 1


def test_no_two_steps_draw_the_same_numbers() -> None:
    seeds = [step_seed(*key) for key in itertools.product((0, 1), (0, 1), range(5), (0, 1))]
    assert len(set(seeds)) == len(seeds)
