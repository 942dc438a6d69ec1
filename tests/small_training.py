"""A set of two photographs, and a training step over three small ones, for tests of where these are computed."""

from typing import NamedTuple

import torch
from torch import Tensor

from crfrnn.data import Sample
from crfrnn.weak import annotated_labels
from train.recipes import EStep, Source
from train.steps.loss import StageLoss

SOURCES = [
    Source(count=1, split=""),
    Source(count=1, split="", annotation="image"),
    Source(count=1, split="", annotation="boxes", e_step=EStep("em-fixed", 6.0, 5.0)),
]


class Photos:
    """A set of two photographs."""

    classes, num_labels = ("background", "cat", "dog"), 3

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        draw = torch.Generator().manual_seed(index)
        image = torch.randint(256, (3, 17, 25), generator=draw, dtype=torch.uint8)
        return Sample(image, torch.randint(3, (17, 25), generator=draw), f"photo {index}")


class Step(NamedTuple):
    sums: Tensor
    gradients: list[Tensor]


def batch_of_three() -> list[Tensor]:
    """Images, label maps, labels of the images, allowed ones, and positions and sources in `SOURCES`."""
    labels = torch.randint(3, (3, 17, 25))
    images, allowed = 255 * torch.rand(3, 3, 17, 25), torch.ones(3, 255, dtype=torch.bool)
    return [images, labels, annotated_labels(labels, 255), allowed, torch.arange(3), torch.arange(3)]


def training_step(model: torch.nn.Module, batch: list[Tensor]) -> Step:
    """The loss of one picture of each source, and all gradients."""
    model.zero_grad()
    sums = StageLoss(model, 4, SOURCES).train()(*batch)  # type: ignore[arg-type]
    sums.sum().backward()
    return Step(sums.detach(), [p.grad for p in model.parameters() if p.grad is not None])
