"""Every sample follows from seed and position: shuffled epochs, the same after an interruption."""

from train.stream import positions


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
