"""An endless shuffled stream of augmented batches in which every sample follows from the seed and its position alone.

So a run that goes on at step k sees what an uninterrupted one sees, whatever the number of worker processes.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from crfrnn.data import VOCSegmentation, seeded, train_transform
from train.recipes import Stage

Batch = tuple[torch.Tensor, torch.Tensor, list[str]]


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


class Augmented(Dataset):
    """Samples of `dataset` under the training transform of `stage`, asked for as (index, seed)."""

    def __init__(self, dataset: VOCSegmentation, stage: Stage) -> None:
        self.dataset = dataset
        self.transform = train_transform(crop=stage.crop, scale=stage.scale)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, str]:
        index, seed = key
        sample = self.dataset[index]
        image, labels = seeded(self.transform, sample.image, sample.labels, seed)
        return image, labels, sample.name


def stream(dataset: VOCSegmentation, stage: Stage, start: int, seed: int, workers: int) -> DataLoader:
    """Batches (images [B, 3, h, w] float32 0..255, labels [B, h, w] int64, names) of the steps from `start` on."""
    steps = range(start, stage.steps)
    sampler = list(positions(len(dataset), stage.batch_size, steps, seed))
    # A generator of its own: the loader would draw from the global one, which dropout goes on with after a resumption.
    generator = torch.Generator().manual_seed(seed)
    data = Augmented(dataset, stage)
    return DataLoader(data, batch_sampler=sampler, num_workers=workers, collate_fn=collate, generator=generator)


def collate(samples: list[tuple[torch.Tensor, torch.Tensor, str]]) -> Batch:
    images, labels, names = zip(*samples, strict=True)
    return torch.stack(images), torch.stack(labels), list(names)
