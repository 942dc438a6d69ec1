"""Every sample follows from seed and position: shuffled epochs, the same after an interruption, fixed shares of sources."""

import itertools
from pathlib import Path

import pytest
import torch

from crfrnn.data import VOCSegmentation, test_transform
from train.distributed import Processes
from train.recipes import Source, Stage
from train.steps.mixture import ALONE, shares
from train.steps.stream import Augmented, Key, Passes, positions, step_seed, stream


def test_an_epoch_visits_every_image_once() -> None:
    flat = [key.index for batch in positions(7, 3, range(0, 7), seed=0) for key in batch]
    assert len(flat) == 21
    epochs = [flat[:7], flat[7:14], flat[14:]]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_a_later_start_goes_on_where_an_earlier_one_would_be() -> None:
    whole = list(positions(5, 2, range(0, 9), seed=3))
    assert list(positions(5, 2, range(4, 9), seed=3)) == whole[4:]
    assert list(positions(5, 2, range(0, 9), seed=4)) != whole


def test_no_augmentation_comes_twice() -> None:
    seeds = [key.seed for source in (0, 1) for batch in positions(4, 2, range(0, 50), 0, source) for key in batch]
    assert len(set(seeds)) == 200


def test_processes_and_passes_share_out_each_batch() -> None:
    """Two processes of two passes each read what one process of one pass reads, step by step."""
    stage = Stage(steps=5, batch_size=4, lr=1.0, accumulate=2)
    alone = [Source(count=4, split="")]
    parts = [list(Passes([7], alone, stage, 1, 0, Processes(rank, 2))) for rank in (0, 1)]
    whole = list(positions(7, 4, range(1, 5), 0))
    assert [len(passes) for part in parts for passes in part] == [1] * 16
    for step, batch in enumerate(whole):
        read = [sample for part in parts for passes in part[2 * step : 2 * step + 2] for sample in passes]
        assert sorted(read) == sorted(batch)


MIXED = [Source(count=4, split="a"), Source(count=2, split="b", annotation="image")]


def test_every_batch_has_a_fixed_share_of_every_source() -> None:
    stage = Stage(steps=10, batch_size=6, lr=1.0)
    batches = list(Passes([7, 3], MIXED, stage, 0, 0, Processes()))
    assert len(batches) == 10
    assert {tuple(sorted(key.source for key in batch)) for batch in batches} == {(0, 0, 0, 0, 1, 1)}
    for source, length in ((0, 7), (1, 3)):  # each in epochs of its own
        flat = [key.index for batch in batches for key in batch if key.source == source]
        assert sorted(flat[:length]) == sorted(flat[length : 2 * length]) == list(range(length))
    assert list(Passes([7, 3], MIXED, stage, 4, 0, Processes())) == batches[4:]
    halves = [list(Passes([7, 3], MIXED, stage, 0, 0, Processes(rank, 2))) for rank in (0, 1)]
    assert [first + second for first, second in zip(*halves, strict=True)] == batches
    assert {tuple(sorted(key.source for key in batch)) for half in halves for batch in half} == {(0, 0, 1)}


def test_of_images_known_as_a_whole_nothing_but_the_set_of_labels_is_left(toy: Path) -> None:
    dataset = VOCSegmentation(toy, "train")
    stage = Stage(steps=1, batch_size=6, lr=1.0, crop=33)
    augmented = Augmented([dataset, dataset], MIXED, stage)
    strong, weak = augmented[Key(0, 2, 5)], augmented[Key(1, 2, 5)]
    assert torch.equal(strong.images, weak.images)
    assert (weak.labels == 255).all()
    occurring = [label for label in strong.labels.unique().tolist() if label != 255]
    assert torch.nonzero(weak.present[0])[:, 0].tolist() == occurring
    (passes,) = stream([dataset, dataset], MIXED, stage, 0, 0, 0, Processes())
    (batch,) = passes
    assert batch.images.shape == (6, 3, 33, 33)
    assert sorted(batch.source_of.tolist()) == [0, 0, 0, 0, 1, 1]
    assert ((batch.labels == 255).all(2).all(1) == (batch.source_of == 1)).all()
    assert len(batch.names) == len(batch.seeds) == 6


def test_whole_images_are_not_cut(toy: Path) -> None:
    dataset = VOCSegmentation(toy, "train")
    whole = Augmented([dataset], ALONE, Stage(steps=1, batch_size=1, lr=1.0, crop=None))[Key(0, 1, 5)]
    image, labels = test_transform()(dataset[1].image, dataset[1].labels)
    assert torch.equal(whole.images[0], image)
    assert torch.equal(whole.labels[0], labels)


def test_batches_that_cannot_be_shared_out_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"--stages.joint.batch-size is 6; wanted a multiple of 4: the processes \(2\)"
    ):
        shares(Stage(steps=1, batch_size=6, lr=1.0, accumulate=2), 2, "joint")
    with pytest.raises(ValueError, match=r"pass --stages.joint.accumulate 4"):
        shares(Stage(steps=1, batch_size=4, lr=1.0, crop=None), 1, "joint")
    assert shares(Stage(steps=1, batch_size=4, lr=1.0, accumulate=2, crop=None), 2) == 1


def test_no_two_steps_draw_the_same_numbers() -> None:
    seeds = [step_seed(*key) for key in itertools.product((0, 1), (0, 1), range(5), (0, 1))]
    assert len(set(seeds)) == len(seeds)
