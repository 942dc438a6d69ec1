from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from crfrnn.data import write_labels


@pytest.fixture
def add_sample() -> Callable[..., Tensor]:
    """Write a photograph and its mask into a folder in the VOC layout; returns the labels."""

    def add(
        root: Path, name: str, size: tuple[int, int] = (8, 10), masks: str = "SegmentationClass", label: int = 15
    ) -> Tensor:
        for folder in ("JPEGImages", masks):
            (root / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size[::-1], (200, 40, 90)).save(root / "JPEGImages" / f"{name}.jpg", quality=95)
        labels = torch.zeros(size, dtype=torch.uint8)
        labels[:, size[1] // 2 :] = label
        labels[0, 0] = 255
        write_labels(root / masks / f"{name}.png", labels)
        return labels

    return add


@pytest.fixture
def add_list() -> Callable[..., Path]:
    def add(root: Path, split: str, *lines: str) -> Path:
        folder = root / "ImageSets" / "Segmentation"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{split}.txt").write_text("".join(f"{line}\n" for line in lines))
        return folder / f"{split}.txt"

    return add


@pytest.fixture
def voc(tmp_path: Path, add_sample: Callable[..., Tensor], add_list: Callable[..., Path]) -> Path:
    """A VOC2012 folder with two images, both kinds of masks (labels 15 and 12) and the lists train and train_aug."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("2007_000039", "2007_000063"):
        add_sample(root, name)
        add_sample(root, name, masks="SegmentationClassAug", label=12)
    add_list(root, "train", "2007_000039", "2007_000063")
    add_list(root, "train_aug", "2007_000063")
    return root
