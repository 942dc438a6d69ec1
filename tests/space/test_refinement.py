"""Volumes and signals through the call for masks: what the layer makes of them, in the form in which they came."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import crfrnn
from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.presets import FixedCRF

SIZE, SPACING = (3, 5, 6), (2.0, 0.75, 1.25)
RANDOM = np.random.default_rng(0)
SCAN = RANDOM.integers(0, 256, SIZE, dtype=np.uint8)
MASK = RANDOM.random(SIZE).astype(np.float32)
NUMBERS = FixedCRF(2.0, 5.0, 60.0, 1.0, 2.0, num_iterations=3)


def refined(scan: np.ndarray, mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """What the layer gives for a mask in 0..1, built here from its kernels: [C, *space], [*space] -> [*space]."""
    crf = CRFRNN(2, [smoothness_kernel(2.0, 1.0), appearance_kernel(5.0, 60.0, 2.0)], 3)
    p = torch.from_numpy(mask)
    logits = torch.stack([1 - p, p]).clamp(min=0.01).log()[None]
    beliefs = crf(logits, torch.from_numpy(scan)[None].float(), spacing=spacing).softmax(1)
    return beliefs[0, 1].detach().numpy()


@pytest.mark.parametrize(
    "scan",
    [SCAN, SCAN[None], SCAN.astype(np.float64), SCAN / np.float32(255), torch.from_numpy(SCAN)],
    ids=["DHW", "CDHW", "float64", "0..1", "tensor"],
)
def test_forms_of_a_volume(scan: Any) -> None:
    got = crfrnn.refine(scan, MASK, NUMBERS, spacing=SPACING)
    assert isinstance(got, np.ndarray)
    np.testing.assert_allclose(got, refined(SCAN[None], MASK, SPACING), atol=2e-4)


def test_labels_first_or_last_several_modalities_and_batches() -> None:
    two = np.stack([SCAN, SCAN[::-1]])
    both = np.stack([1 - MASK, MASK])
    wanted = refined(two, MASK, SPACING)
    got = crfrnn.refine(two, both, NUMBERS, spacing=SPACING)
    np.testing.assert_allclose(got[1], wanted, atol=1e-5)
    last = crfrnn.refine(two, both.transpose(1, 2, 3, 0), NUMBERS, spacing=SPACING)
    np.testing.assert_array_equal(last, got.transpose(1, 2, 3, 0))
    many = crfrnn.refine([two, SCAN], [both, MASK], NUMBERS, spacing=SPACING)
    np.testing.assert_allclose(many[0], got, atol=1e-6)
    stacked = crfrnn.refine(torch.from_numpy(two[None]), torch.from_numpy(both[None]), NUMBERS, spacing=SPACING)
    assert stacked.shape == (1, 2, *SIZE)


def test_a_signal() -> None:
    signal, mask = SCAN.ravel(), MASK.ravel()
    got = crfrnn.refine(signal, mask, NUMBERS, spacing=(0.5,))
    np.testing.assert_allclose(got, refined(signal[None], mask, (0.5,)), atol=1e-5)


@pytest.mark.parametrize(
    ("scan", "mask", "spacing", "message"),
    [
        (SCAN, MASK, 2.0, r"spacing is 2\.0; wanted a tuple of one to three numbers"),
        (SCAN[0], MASK, SPACING, r"image has shape \[5, 6\]; wanted 3 axes as the spacing has numbers"),
        (SCAN, MASK[0], SPACING, r"have shape \[5, 6\], the image has shape \[3, 5, 6\]; wanted that shape"),
        (SCAN - 900.0, MASK, SPACING, r"lies in -9.*; wanted 0\.\.1 or 0\.\.255: scale the range that matters"),
        (Image.new("L", (6, 5)), MASK, SPACING, r"image is an image of Pillow; wanted a NumPy array or a tensor"),
        (SCAN, MASK, (1.0, 0.0, 1.0), "wanted positive finite numbers"),
    ],
)  # fmt: skip
def test_what_does_not_fit(scan: Any, mask: Any, spacing: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        crfrnn.refine(scan, mask, NUMBERS, spacing=spacing)
