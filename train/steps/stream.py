"""An endless shuffled stream of augmented batches in which every sample follows from the seed and its position alone.

So a run resumed at step k sees what an uninterrupted one sees, whatever the number of processes that train or read.
Every source of a mixture has epochs of its own.
"""

import atexit
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from crfrnn.data import (
    VOID,
    JointTransform,
    SegmentationSet,
    allowed_labels,
    mirrored_labels,
    seeded,
    test_transform,
    train_transform,
)
from crfrnn.weak import annotated_labels
from train.distributed import Processes
from train.interrupt import end_readers, ignore_signals
from train.recipes import Source, Stage
from train.steps.mixture import shares


class Key(NamedTuple):
    """A sample that is asked for: number of its source, index in the list of that, seed of its augmentation."""

    source: int
    index: int  # type: ignore[assignment]  # a tuple has a method of this name
    seed: int


class Batch(NamedTuple):
    """What one pass goes over.

    Attributes:
        images: [B, 3, h, w] float32, 0..255.
        labels: [B, h, w] int64; all void where the source knows images as a whole.
        present: bool [B, 255], the labels that occur in the crop.
        allowed: bool [B, 255], the labels that are possible, where the class of the object is known; else all.
        seeds: [B] int64.
        source_of: [B] int64, the numbers of their sources.
        names: of the images.
    """

    images: Tensor
    labels: Tensor
    present: Tensor
    allowed: Tensor
    seeds: Tensor
    source_of: Tensor
    names: list[str]


def positions(count: int, batch_size: int, steps: range, seed: int, source: int = 0) -> Iterator[list[Key]]:
    """The samples of one source in each of `steps`, `batch_size` of its `count` images; reshuffled every epoch."""
    epoch, order = -1, np.arange(count)
    for step in steps:
        batch = []
        for position in range(step * batch_size, (step + 1) * batch_size):
            if position // count != epoch:
                epoch = position // count
                order = np.random.default_rng([seed, epoch, source]).permutation(count)
            sample_seed = int(np.random.SeedSequence([seed, position, source]).generate_state(1)[0])
            batch.append(Key(source, int(order[position % count]), sample_seed))
        yield batch


class Passes:
    """The passes of one process over the steps from `start` on: `accumulate` lists of samples for each step.

    Args:
        lengths: images in the list of each source.
        sources: what a batch is made of.
    """

    def __init__(
        self, lengths: Sequence[int], sources: Sequence[Source], stage: Stage, start: int, seed: int, group: Processes
    ) -> None:
        self.lengths, self.sources, self.stage, self.seed, self.group = lengths, sources, stage, seed, group
        self.steps = range(start, stage.steps)
        self.size = shares(stage, group.world)

    def __len__(self) -> int:
        return len(self.steps) * self.stage.accumulate

    def __iter__(self) -> Iterator[list[Key]]:
        streams = [
            positions(length, source.count, self.steps, self.seed, number)
            for number, (length, source) in enumerate(zip(self.lengths, self.sources, strict=True))
        ]
        for parts in zip(*streams, strict=True):
            # Evenly mixed, so that every process and pass gets its share of every source.
            placed = [((place + 0.5) / len(part), key) for part in parts for place, key in enumerate(part)]
            batch = [key for _, key in sorted(placed)]
            own = batch[self.group.rank * self.stage.accumulate * self.size :]
            for i in range(self.stage.accumulate):
                yield own[i * self.size : (i + 1) * self.size]


class Augmented(Dataset):
    """Samples of the sets of `sources` under the training transform of `stage`, asked for by key, as batches of one.

    Where a source knows images as a whole, nothing of a mask is left but the set of labels in the crop.
    """

    def __init__(self, sets: Sequence[SegmentationSet], sources: Sequence[Source], stage: Stage) -> None:
        self.sets, self.sources = sets, sources
        self.transforms = [transform(stage, mirrored_labels(dataset)) for dataset in sets]

    def __getitem__(self, key: Key) -> Batch:
        dataset = self.sets[key.source]
        sample = dataset[key.index]
        image, labels = seeded(self.transforms[key.source], sample.image, sample.labels, key.seed)
        present, allowed = annotated_labels(labels[None], VOID), torch.ones(1, VOID, dtype=torch.bool)
        possible = allowed_labels(dataset, key.index)
        if possible is not None:
            allowed[0, : len(possible)] = possible
        if self.sources[key.source].annotation == "image":
            labels = torch.full_like(labels, VOID)
        seed, source = torch.tensor([key.seed]), torch.tensor([key.source])
        return Batch(image[None], labels[None], present, allowed, seed, source, [sample.name])


def transform(stage: Stage, mirrored: Sequence[int] | None) -> JointTransform:
    """The training transform of `stage`; `mirrored` is what the labels become in a mirror image, None for no change."""
    if stage.crop is None:
        return test_transform()
    return train_transform(stage.crop, stage.scale, stage.mirror, mirrored=mirrored)


def stream(
    sets: Sequence[SegmentationSet],
    sources: Sequence[Source],
    stage: Stage,
    start: int,
    seed: int,
    workers: int,
    group: Processes,
) -> Iterator[list[Batch]]:
    """What a process has to do in each of the steps from `start` on, as a list of passes."""
    # A generator of its own: the loader would draw from the global one.
    loader = DataLoader(
        Augmented(sets, sources, stage),
        batch_sampler=Passes([len(each) for each in sets], sources, stage, start, seed, group),  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=collate,
        generator=torch.Generator().manual_seed(seed),
        worker_init_fn=ignore_signals,
        pin_memory=torch.cuda.is_available(),
    )
    if workers > 0:
        atexit.register(end_readers)
    batches = iter(loader)
    for _ in range(start, stage.steps):
        yield [next(batches) for _ in range(stage.accumulate)]


def collate(samples: list[Batch]) -> Batch:
    """Batches of one as one batch."""
    *tensors, names = zip(*samples, strict=True)
    return Batch(*map(torch.cat, tensors), [name for part in names for name in part])  # type: ignore[call-arg, arg-type]


def step_seed(seed: int, stage: int, step: int, rank: int) -> int:
    """What dropout is seeded with in one step of a stage, see `Run.chain`: a step never depends on those before it."""
    return int(np.random.SeedSequence([seed, stage, step, rank]).generate_state(1)[0])
