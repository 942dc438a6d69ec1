"""A data set of four tiny pictures in the VOC layout, and tiny random models and checkpoints that fit it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.data import write_labels
from crfrnn.nets import SegmentationModel, build_model, save_checkpoint
from tests.threads import threads

CLASSES = ("background", "cat", "dog")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from threads, and lose much where another process keeps the processors busy."""
    with threads(1):
        yield


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Root of the set: images a, b, c, d of different sizes in the list val, three classes, some void."""
    root = tmp_path / "voc"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(CLASSES))
    (root / "ImageSets/Segmentation/val.txt").write_text("\n".join("abcd"))
    random = np.random.default_rng(0)
    for i, name in enumerate("abcd"):
        height, width = 20 + i, 33 - 2 * i
        labels = torch.from_numpy(random.integers(0, 3, (height, width), dtype=np.uint8))
        labels[:3] = 255
        write_labels(root / f"SegmentationClass/{name}.png", labels)
        photo = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(photo).save(root / f"JPEGImages/{name}.jpg")
    return root


@pytest.fixture
def make_model() -> Callable[..., SegmentationModel]:
    """Builds a random model whose scores have mean 0 and deviation 2 over an image of noise, so that labels mix."""

    def make(crf: CRFRNN | None = None, num_labels: int = 3) -> SegmentationModel:
        model = build_model(num_labels=num_labels, crf=crf, width=0.02).eval()
        fc8 = model.network.fc8
        assert isinstance(fc8, torch.nn.Conv2d)
        assert fc8.bias is not None
        with torch.no_grad():
            scores = model.scores(255 * torch.rand(1, 3, 65, 65))
            deviation, mean = torch.std_mean(scores, (0, 2, 3))
            fc8.weight *= 2 / deviation[:, None, None, None]
            fc8.bias -= 2 * mean / deviation
        return model

    return make


@pytest.fixture
def gentle_crf() -> CRFRNN:
    """A CRF weak enough to leave its mark on tiny images without flooding them with one label."""
    kernels = [smoothness_kernel(theta_gamma=1.5, weight=1.0), appearance_kernel(5.0, 60.0, weight=2.0)]
    return CRFRNN(3, kernels=kernels, num_iterations=2)


@pytest.fixture
def make_checkpoint(tmp_path: Path, make_model: Callable) -> Callable[..., Path]:
    """Writes the checkpoint of a random model, plain or with `crf`, and returns its path."""

    def make(crf: CRFRNN | None = None, classes: tuple[str, ...] = CLASSES) -> Path:
        path = tmp_path / "model.pt"
        model = make_model(crf, len(classes))
        architecture = {"num_labels": len(classes), "width": 0.02}
        save_checkpoint(path, model, architecture=architecture, classes=list(classes))
        return path

    return make
