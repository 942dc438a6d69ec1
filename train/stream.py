"""An endless shuffled stream of augmented batches in which every sample follows from the seed and its position alone.

So a run that goes on at step k sees what an uninterrupted one sees, whatever the number of processes that train or read.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from crfrnn.data import SegmentationSet, allowed_labels, mirrored_labels, seeded, test_transform, train_transform
from train.distributed import Processes
from train.interrupt import ignore_signals
from train.loss import shares
from train.recipes import Stage

Item = tuple[torch.Tensor, torch.Tensor, str, torch.Tensor | None]
Batch = tuple[torch.Tensor, torch.Tensor, list[str], torch.Tensor | None]


def positions(count: int, batch_size: int, steps: range, seed: int) -> Iterator[list[tuple[int, int]]]:
    """(index of the image, seed of its augmentation) for the samples of each of `steps`; reshuffled every epoch."""
    epoch, order = -1, np.arange(count)
    for step in steps:
        batch = []
        for position in range(step * batch_size, (step + 1) * batch_size):
            if position // count != epoch:
                epoch = position // count
                order = np.random.default_rng([seed, epoch]).permutation(count)
            sample_seed = int(np.random.SeedSequence([seed, position]).generate_state(1)[0])
            batch.append((int(order[position % count]), sample_seed))
        yield batch


class Passes:
    """The passes of one process over the steps from `start` on: `accumulate` lists of samples for each step."""

    def __init__(self, count: int, stage: Stage, start: int, seed: int, group: Processes) -> None:
        self.count, self.stage, self.seed, self.group = count, stage, seed, group
        self.steps = range(start, stage.steps)
        self.size = shares(stage, group.world)

    def __len__(self) -> int:
        return len(self.steps) * self.stage.accumulate

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in positions(self.count, self.stage.batch_size, self.steps, self.seed):
            own = batch[self.group.rank * self.stage.accumulate * self.size :]
            for i in range(self.stage.accumulate):
                yield own[i * self.size : (i + 1) * self.size]


class Augmented(Dataset):
    """Samples of `dataset` under the training transform of `stage`, asked for as (index, seed)."""

    def __init__(self, dataset: SegmentationSet, stage: Stage) -> None:
        self.dataset = dataset
        whole = stage.crop is None
        mirrored = mirrored_labels(dataset)
        self.transform = (
            test_transform() if whole else train_transform(stage.crop, stage.scale, stage.mirror, mirrored=mirrored)
        )

    def __getitem__(self, key: tuple[int, int]) -> Item:
        index, seed = key
        sample = self.dataset[index]
        image, labels = seeded(self.transform, sample.image, sample.labels, seed)
        return image, labels, sample.name, allowed_labels(self.dataset, index)


def stream(
    dataset: SegmentationSet, stage: Stage, start: int, seed: int, workers: int, group: Processes
) -> Iterator[list[Batch]]:
    """What a process has to do in each of the steps from `start` on, as a list of passes.

    A pass is images [B, 3, h, w] float32 0..255, labels [B, h, w] int64, names, and which labels are possible, bool [B, L],
    or None.
    """
    # A generator of its own: the loader would draw from the global one.
    loader = DataLoader(
        Augmented(dataset, stage),
        batch_sampler=Passes(len(dataset), stage, start, seed, group),  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=collate,
        generator=torch.Generator().manual_seed(seed),
        worker_init_fn=ignore_signals,
        pin_memory=torch.cuda.is_available(),
    )
    batches = iter(loader)
    for _ in range(start, stage.steps):
        yield [next(batches) for _ in range(stage.accumulate)]


def collate(samples: list[Item]) -> Batch:
    images, labels, names, allowed = zip(*samples, strict=True)
    possible = None if allowed[0] is None else torch.stack(allowed)
    return torch.stack(images), torch.stack(labels), list(names), possible


def step_seed(seed: int, stage: int, step: int, rank: int) -> int:
    """What dropout is seeded with in one step of stage number `stage`: a step never depends on those before it."""
    return int(np.random.SeedSequence([seed, stage, step, rank]).generate_state(1)[0])
