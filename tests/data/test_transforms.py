import math
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from crfrnn.data import VOCSegmentation, transforms
from crfrnn.data.transforms import MEAN_RGB, JointTransform, padded, seeded, train_transform

GREYS = 50.0  # a pixel of label l is this much times l in red, and 10 in green


def coded(height: int, width: int, block: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """An image whose red channel tells the label: blocks of random labels 0..5."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randint(0, 6, (-(-height // block), -(-width // block)), generator=generator)
    labels = cells.repeat_interleave(block, 0).repeat_interleave(block, 1)[:height, :width].to(torch.uint8)
    image = torch.stack([labels * int(GREYS), torch.full_like(labels, 10), torch.full_like(labels, 250)])
    return image, labels


def decoded(image: Tensor) -> Tensor:
    """The labels that the image shows, void where it shows padding."""
    labels = (image[0] / GREYS).round().long()
    labels[(image[1] - 10).abs() > 1] = 255
    return labels


@pytest.mark.parametrize("size", [(20, 30), (64, 80), (1, 50), (50, 1), (20, 80), (1, 1), (40, 40)])
@pytest.mark.parametrize("mirror", [False, True])
def test_crop_and_mirror_keep_every_pixel_with_its_label(size: tuple[int, int], mirror: bool) -> None:
    transform = train_transform((40, 48), scale=(1, 1), mirror=mirror)
    for seed in range(8):
        image, labels = seeded(transform, *coded(*size), seed)
        assert type(image) is Tensor
        assert image.dtype == torch.float32
        assert image.shape == (3, 40, 48)
        assert type(labels) is Tensor
        assert labels.dtype == torch.int64
        assert labels.shape == (40, 48)
        assert torch.equal(decoded(image), labels)
        assert (labels != 255).sum() == min(size[0], 40) * min(size[1], 48)


def test_padding_is_bottom_right_mean_and_void() -> None:
    image, labels = coded(5, 7)
    padded, padded_labels = train_transform(9, scale=(1, 1), mirror=False)(image, labels)
    assert torch.equal(padded[:, :5, :7], image.float())
    assert torch.equal(padded_labels[:5, :7], labels.long())
    outside = torch.ones(9, 9, dtype=torch.bool)
    outside[:5, :7] = False
    assert torch.equal(padded[:, outside], torch.tensor([122.675, 116.669, 104.008])[:, None].expand(3, 46))
    assert bool((padded_labels[outside] == 255).all())


def test_own_padding_color() -> None:
    padded, _ = train_transform(3, scale=(1, 1), mirror=False, mean=(1.5, 2.5, 3.5))(*coded(1, 1))
    assert padded[:, 2, 2].tolist() == [1.5, 2.5, 3.5]


def test_mirror_happens_to_both_in_half_of_the_cases() -> None:
    image, labels = coded(6, 9)
    transform = train_transform((6, 9), scale=(1, 1))
    mirrored = 0
    for seed in range(200):
        out, out_labels = seeded(transform, image, labels, seed)
        flipped = not torch.equal(out, image.float())
        assert torch.equal(out, image.flip(-1).float() if flipped else image.float())
        assert torch.equal(out_labels, labels.flip(-1).long() if flipped else labels.long())
        mirrored += flipped
    assert 70 <= mirrored <= 130


def test_every_crop_position_occurs() -> None:
    image = torch.arange(15, dtype=torch.uint8).view(1, 3, 5).repeat(3, 1, 1)
    transform = train_transform(2, scale=(1, 1), mirror=False)
    corners = {int(seeded(transform, image, image[0], seed)[1][0, 0]) for seed in range(150)}
    assert corners == {0, 1, 2, 3, 5, 6, 7, 8}


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.25, 2.0, 1.37])
def test_scaled_image_and_labels_have_the_same_edges(factor: float) -> None:
    image, labels = coded(48, 60, block=12)
    out, out_labels = train_transform(8, scale=(factor, factor), mirror=False).steps[0](
        transforms.tv_tensors.Image(image.float()), transforms.tv_tensors.Mask(labels)
    )
    assert out.shape[1:] == out_labels.shape == (round(48 * factor), round(60 * factor))
    # Near the edges of blocks the colors are mixtures; elsewhere they must tell the label.
    places = [
        (torch.arange(length) + 0.5) * whole / length % 12
        for length, whole in zip(out.shape[1:], (48, 60), strict=True)
    ]
    off_edge = [torch.minimum(place, 12 - place) > max(1, 1 / factor) for place in places]
    inner = off_edge[0][:, None] & off_edge[1]
    assert inner.float().mean() > 0.3
    assert torch.equal(decoded(out)[inner], out_labels[inner].long())
    # On a ramp the value is the place: the nearest pixel is at most half a pixel away from the interpolated place.
    ramp = torch.arange(64, dtype=torch.uint8).expand(8, 64).contiguous()
    shades, nearest = transforms.RandomScale((factor, factor))(
        transforms.tv_tensors.Image(ramp.expand(3, 8, 64).float()), transforms.tv_tensors.Mask(ramp)
    )
    assert float((shades[0] - nearest)[:, 4:-4].abs().max()) < 0.55


def test_scale_factors_fill_their_range_and_are_one_for_both_axes() -> None:
    image, labels = coded(100, 200)
    step = train_transform(8).steps[0]
    factors = []
    for seed in range(60):
        torch.manual_seed(seed)
        out, _ = step(transforms.tv_tensors.Image(image), transforms.tv_tensors.Mask(labels))
        height, width = out.shape[-2:]
        assert abs(width - 2 * height) <= 1
        factors.append(width / 200)
    assert 0.75 <= min(factors) < 0.79
    assert 1.21 < max(factors) <= 1.25
    assert 0.95 < sum(factors) / 60 < 1.05


def test_tiny_images_keep_at_least_one_pixel() -> None:
    image, labels = train_transform(4, scale=(0.1, 0.1), mirror=False)(*coded(1, 30))
    assert image.shape == (3, 4, 4)
    assert int((labels != 255).sum()) == 3


def test_shrinking_averages_the_image() -> None:
    noise = torch.randint(0, 256, (3, 90, 90)).float()
    small, _ = train_transform(30, scale=(1 / 3, 1 / 3), mirror=False)(noise, torch.zeros(90, 90, dtype=torch.uint8))
    assert float(small.std()) < float(noise.std()) / 2  # single pixels would keep the spread


def test_scaling_does_not_invent_labels_or_colors() -> None:
    image, labels = coded(33, 47)
    labels[labels == 3] = 255
    out, out_labels = seeded(train_transform(64), image, labels, 5)
    assert set(out_labels.unique().tolist()) <= {0, 1, 2, 4, 5, 255}
    assert float(out.min()) >= 0
    assert float(out.max()) <= 250.001


def test_test_transform_changes_types_only() -> None:
    image, labels = coded(7, 5)
    out, out_labels = transforms.test_transform()(image, labels)
    assert type(out) is Tensor
    assert out.dtype == torch.float32
    assert torch.equal(out, image.float())
    assert type(out_labels) is Tensor
    assert out_labels.dtype == torch.int64
    assert torch.equal(out_labels, labels.long())


def test_inputs_are_left_alone() -> None:
    image, labels = coded(20, 20)
    image = image.float()
    copies = image.clone(), labels.clone()
    seeded(train_transform(30), image, labels, 0)
    assert torch.equal(image, copies[0])
    assert torch.equal(labels, copies[1])


def test_seeded_repeats_and_leaves_the_generator_alone() -> None:
    transform = train_transform(16)
    pair = coded(40, 40)
    state = torch.get_rng_state()
    first, again, other = (seeded(transform, *pair, seed) for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    torch.manual_seed(7)
    plain = transform(*pair)
    assert torch.equal(first[0], plain[0])
    assert torch.equal(first[1], plain[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop": 0}, "crop=0; wanted"),
        ({"crop": (4, -1)}, r"crop=\(4, -1\); wanted"),
        ({"crop": 4, "scale": (0, 1)}, r"scale=\(0, 1\); wanted 0 < low <= high"),
        ({"crop": 4, "scale": (1.25, 0.75)}, "wanted 0 < low <= high"),
        ({"crop": 4, "scale": (1.0, math.nan)}, "wanted 0 < low <= high"),
        ({"crop": 4, "mean": (1.0,)}, r"mean=\(1.0,\); wanted three channels"),
    ],
)
def test_bad_settings(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_transform(**arguments)


@pytest.mark.parametrize(
    ("image", "labels"), [((3, 4, 5), (5, 4)), ((4, 5), (4, 5)), ((3, 3, 4, 5), (3, 4, 5)), ((3, 0, 5), (0, 5))]
)
def test_bad_shapes(image: tuple[int, ...], labels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"got image \[.*\] and labels \[.*\]; wanted \[3, H, W\] and \[H, W\]"):
        transforms.test_transform()(torch.zeros(image), torch.zeros(labels, dtype=torch.uint8))


class Crops(Dataset):
    def __init__(self, dataset: VOCSegmentation, transform: JointTransform) -> None:
        self.dataset, self.transform = dataset, transform

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return seeded(self.transform, *self.dataset[index][:2], seed=index)


def test_batches_from_two_workers(voc: Path) -> None:
    crops = Crops(VOCSegmentation(voc, "train"), pickle.loads(pickle.dumps(train_transform(12))))
    loader = DataLoader(crops, batch_size=1, num_workers=2)
    for index, (images, labels) in enumerate(loader):
        assert images.shape == (1, 3, 12, 12)
        assert labels.shape == (1, 12, 12)
        assert torch.equal(images[0], crops[index][0])
        assert torch.equal(labels[0], crops[index][1])


def test_torchvision_is_imported_late_and_any_number_of_times() -> None:
    program = """
import importlib, sys
import crfrnn.data
assert "torchvision" not in sys.modules
from crfrnn import _torchvision
from crfrnn.data import train_transform
importlib.reload(_torchvision)
import torchvision
assert _torchvision.torchvision is torchvision
import torch
train_transform(4)(torch.zeros(3, 5, 5), torch.zeros(5, 5))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == ""


def test_mean_is_that_of_deeplab_in_rgb_order() -> None:
    assert MEAN_RGB == (122.675, 116.669, 104.008)


def test_padding_is_told_from_photographs() -> None:
    image = torch.randint(0, 256, (3, 12, 10)).to(torch.uint8)
    for seed in range(5):
        crop, labels = seeded(train_transform((40, 24), (0.5, 1.5)), image, torch.zeros(12, 10, dtype=torch.long), seed)
        assert torch.equal(padded(crop[None])[0], labels == 255)
    assert not padded(image[None].float()).any()
