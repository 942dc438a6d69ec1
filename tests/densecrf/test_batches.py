"""Beliefs of many images are those of a loop that is written out over pydensecrf2."""

from collections.abc import Iterator

import numpy as np
import pydensecrf.densecrf
import pytest
import torch

import crfrnn.densecrf as dcrf
from crfrnn import CRFRNN, appearance_kernel, native, smoothness_kernel

RANDOM = np.random.default_rng(0)
SIZES = [(6, 8), (4, 5), (6, 8)]
IMAGES = [RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
UNARIES = [RANDOM.random((3, *size)).astype(np.float32) * 4 for size in SIZES]
GAUSSIAN, BILATERAL = {"sxy": 3, "compat": 3}, {"sxy": 8, "srgb": 40, "compat": 4}


def by_hand(image: np.ndarray, unary: np.ndarray) -> np.ndarray:
    labels, height, width = unary.shape
    crf = pydensecrf.densecrf.DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(unary.reshape(labels, -1))
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=8, srgb=40, rgbim=image, compat=4)
    return np.array(crf.inference(4)).reshape(unary.shape)


def test_images_of_several_sizes() -> None:
    found = list(dcrf.batched(IMAGES, UNARIES, 4, GAUSSIAN, BILATERAL, device="cpu"))
    for image, unary, beliefs in zip(IMAGES, UNARIES, found, strict=True):
        np.testing.assert_allclose(beliefs, by_hand(image, unary), atol=1e-5)
    torch_beliefs = next(dcrf.batched(IMAGES, map(torch.from_numpy, UNARIES[:1]), 4, GAUSSIAN, BILATERAL))
    np.testing.assert_array_equal(torch_beliefs, found[0])


def test_a_device_is_checked_before_anything_else() -> None:
    crf = dcrf.DenseCRF2D(8, 6, 3, device=torch.device("cpu"))
    crf.setUnaryEnergy(UNARIES[0].reshape(3, -1))
    np.testing.assert_allclose(crf.inference(0).sum(0), 1, rtol=1e-5)
    for device in ("gpu", "meta", 3.5):
        with pytest.raises(ValueError, match=f"device is '?{device}"):
            dcrf.DenseCRF2D(8, 6, 3, device=device)


def test_terms_may_be_left_out() -> None:
    alone = next(dcrf.batched(IMAGES, UNARIES))
    wanted = np.exp(-UNARIES[0]) / np.exp(-UNARIES[0]).sum(0)
    np.testing.assert_allclose(alone, wanted, rtol=1e-5)


def test_images_are_taken_as_they_are_needed() -> None:
    taken = []

    def images() -> Iterator[np.ndarray]:
        for number, image in enumerate(IMAGES):
            taken.append(number)
            yield image

    next(dcrf.batched(images(), UNARIES, 1, GAUSSIAN))
    assert taken == [0]


def test_errors_name_the_image() -> None:
    images = [IMAGES[0], IMAGES[1][:, :-1]]
    loop = dcrf.batched(images, UNARIES[:2], 2, GAUSSIAN, BILATERAL)
    next(loop)
    with pytest.raises(ValueError, match=r"image 1: rgbim has shape \[4, 4, 3\]"):
        next(loop)
    with pytest.raises(ValueError, match=r"image 0: the unary has shape \[3, 48\]"):
        next(dcrf.batched(IMAGES, [UNARIES[0].reshape(3, -1)], 2, GAUSSIAN))
    with pytest.raises(ValueError, match="shorter"):
        list(dcrf.batched(IMAGES, UNARIES[:2], 1))


def test_points_that_wait_are_those_of_the_layer() -> None:
    """Compiled code of both, and plain torch; with both signs of penalties, as Potts costs are negative here."""
    image, unary = IMAGES[0], UNARIES[0]
    kernels = [smoothness_kernel(3, 3), appearance_kernel(8, 40, 4)]
    crf = CRFRNN(3, kernels, 6, "symmetric", message_tolerance=0.3).requires_grad_(False)
    arguments = (-torch.from_numpy(unary)[None], torch.from_numpy(image).permute(2, 0, 1)[None].float())
    found = list(dcrf.batched([image], [unary], 6, GAUSSIAN, BILATERAL, message_tolerance=0.3))
    with native.disabled():
        found += dcrf.batched([image], [unary], 6, GAUSSIAN, BILATERAL, message_tolerance=0.3)
    for beliefs in found:
        np.testing.assert_allclose(beliefs, crf(*arguments).softmax(1)[0], atol=1e-5)
        assert np.abs(beliefs - next(dcrf.batched([image], [unary], 6, GAUSSIAN, BILATERAL))).max() > 1e-4


def test_a_message_tolerance_that_makes_no_sense() -> None:
    with pytest.raises(ValueError, match=r"image 0: message_tolerance is -0.1; wanted a change of logits"):
        next(dcrf.batched(IMAGES, UNARIES, 4, GAUSSIAN, message_tolerance=-0.1))
