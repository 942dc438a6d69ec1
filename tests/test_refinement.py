"""One call for masks: whatever form they come in, they are what the layer makes of them, in that form."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import crfrnn
from crfrnn import CRFRNN, appearance_kernel, feature_kernel, smoothness_kernel
from crfrnn.presets import FixedCRF

HEIGHT, WIDTH = 6, 9
RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
MASK = RANDOM.random((HEIGHT, WIDTH)).astype(np.float32)
SCAN = RANDOM.integers(0, 256, (4, 5, 6), dtype=np.uint8)
NUMBERS = FixedCRF(2.0, 5.0, 60.0, 1.0, 2.0, num_iterations=3)


def refined(mask: np.ndarray = MASK, photo: np.ndarray = PHOTO) -> np.ndarray:
    """What the layer gives for a mask in 0..1, built here from its kernels; [H, W]."""
    crf = CRFRNN(2, [smoothness_kernel(2.0, 1.0), appearance_kernel(5.0, 60.0, 2.0)], 3, kernel_weights="scalar")
    p = torch.from_numpy(mask.astype(np.float32))
    logits = torch.stack([1 - p, p]).clamp(min=0.01).log()[None]
    image = torch.from_numpy(photo).permute(2, 0, 1)[None].float()
    return crf(logits, image).softmax(1)[0, 1].detach().numpy()


@pytest.mark.parametrize(
    "photo",
    [
        PHOTO,
        PHOTO.transpose(2, 0, 1),
        np.asfortranarray(PHOTO[::-1])[::-1],
        PHOTO.astype(np.float64),
        PHOTO / np.float32(255),
        torch.from_numpy(PHOTO).permute(2, 0, 1),
        torch.from_numpy(PHOTO).permute(2, 0, 1).half(),
        torch.from_numpy(PHOTO),
        Image.fromarray(PHOTO),
        Image.fromarray(PHOTO).convert("RGBA"),
        PHOTO.astype(">f4"),
        np.asarray(Image.fromarray(PHOTO)),
    ],
    ids=[
        "HWC",
        "CHW",
        "strides",
        "float64",
        "0..1",
        "tensor",
        "half",
        "tensor HWC",
        "Pillow",
        "RGBA",
        "big-endian",
        "read-only",
    ],
)
def test_forms_of_a_photograph(photo: Any) -> None:
    np.testing.assert_allclose(crfrnn.refine(photo, MASK, NUMBERS), refined(), atol=2e-4)


def test_a_photograph_whose_ends_are_rounded() -> None:
    """As by undoing a normalization: white is 1.0000002, black -0.0000002."""
    photo = PHOTO.copy()
    photo[0, 0], photo[0, 1] = 255, 0
    given = photo / np.float32(255) * np.float32(1.0000004) - np.float32(2e-7)
    assert (given.min() < 0, given.max() > 1) == (True, True)
    np.testing.assert_allclose(crfrnn.refine(given, MASK, NUMBERS), refined(photo=photo), atol=1e-4)


@pytest.mark.parametrize(
    "photo",
    [
        PHOTO[..., 0],
        PHOTO[..., :1],
        Image.fromarray(PHOTO[..., 0]),
        Image.fromarray(257 * PHOTO[..., 0].astype(np.uint16)),
    ],
    ids=["HW", "HW1", "L", "I;16"],
)
def test_a_gray_photograph_is_one_of_equal_channels(photo: Any) -> None:
    wanted = refined(photo=np.repeat(PHOTO[..., :1], 3, 2))
    np.testing.assert_allclose(crfrnn.refine(photo, MASK, NUMBERS), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("form", "back"),
    [
        (lambda m: m, lambda m: m),
        (lambda m: m[None], lambda m: m[0]),
        (lambda m: m[..., None], lambda m: m[..., 0]),
        (lambda m: m.astype(np.float64), lambda m: m),
        (lambda m: torch.from_numpy(m), lambda m: m.numpy()),
        (lambda m: torch.from_numpy(m).bfloat16(), lambda m: m.float().numpy()),
        (lambda m: torch.from_numpy(m).requires_grad_()[None], lambda m: m[0].numpy()),
        (lambda m: np.stack([1 - m, m]), lambda m: m[1]),
        (lambda m: np.stack([1 - m, m], -1), lambda m: m[..., 1]),
    ],
    ids=["HW", "1HW", "HW1", "float64", "tensor", "bfloat16", "gradients", "LHW", "HWL"],
)
def test_forms_of_probabilities(form: Callable[[Any], Any], back: Callable[[Any], np.ndarray]) -> None:
    given = form(MASK)
    kept = given.clone() if isinstance(given, torch.Tensor) else given.copy()
    result = crfrnn.refine(PHOTO, given, NUMBERS)
    assert (type(result), result.shape, result.dtype) == (type(given), given.shape, given.dtype)
    assert (given == kept).all()
    tolerance = 2e-2 if "bfloat16" in str(given.dtype) else 1e-5
    np.testing.assert_allclose(back(result), refined(), atol=tolerance)


def test_masks_of_whole_numbers() -> None:
    levels = (255 * MASK).round().astype(np.uint8)
    wanted = 255 * refined(levels / 255)
    result = crfrnn.refine(PHOTO, levels, NUMBERS)
    assert result.dtype == np.uint8
    np.testing.assert_allclose(result, wanted, atol=0.51)
    picture = crfrnn.refine(PHOTO, Image.fromarray(levels), NUMBERS)
    np.testing.assert_array_equal(np.array(picture), result)

    hard = MASK > 0.5
    np.testing.assert_array_equal(crfrnn.refine(PHOTO, hard, NUMBERS), refined(hard) > 0.5)
    picture = crfrnn.refine(PHOTO, Image.fromarray(hard), NUMBERS)
    assert picture.mode == "1"
    np.testing.assert_array_equal(np.array(picture), refined(hard) > 0.5)


def test_labels() -> None:
    """[L, H, W] through a layer over L labels; whole numbers of 0..255 need not sum to 255 exactly."""
    probabilities = RANDOM.dirichlet([1, 1, 1], (HEIGHT, WIDTH)).astype(np.float32).transpose(2, 0, 1)
    crf = CRFRNN(3, [smoothness_kernel(2.0, 1.0), appearance_kernel(5.0, 60.0, 2.0)], 3, kernel_weights="scalar")
    image = torch.from_numpy(PHOTO).permute(2, 0, 1)[None].float()
    logits = torch.from_numpy(probabilities)[None].clamp(min=0.005).log()
    wanted = crf(logits, image).softmax(1)[0].detach().numpy()
    np.testing.assert_allclose(crfrnn.refine(PHOTO, probabilities, NUMBERS), wanted, atol=1e-5)
    levels = (255 * probabilities).astype(np.uint8)
    np.testing.assert_allclose(crfrnn.refine(PHOTO, levels, NUMBERS) / 255, wanted, atol=2e-2)


@pytest.mark.parametrize("labels", [2, 3])
def test_a_layer_with_another_solver(labels: int) -> None:
    """It is called as it is, and stays as it is."""
    kernels = [smoothness_kernel(2.0, 1.0), appearance_kernel(5.0, 60.0, 2.0)]
    crf = CRFRNN(labels, kernels, 4, solver="frank_wolfe", step="line_search").double()
    probabilities = RANDOM.dirichlet([1] * labels, (HEIGHT, WIDTH)).transpose(2, 0, 1)
    image = torch.from_numpy(PHOTO).permute(2, 0, 1)[None].double()
    logits = torch.from_numpy(probabilities)[None].clamp(min=0.01 / (labels - 1)).log()
    wanted = crf(logits, image).softmax(1)[0].detach().numpy()
    assert wanted.max() > 1 - 1e-6  # beliefs of l2 are sparse
    np.testing.assert_allclose(crfrnn.refine(PHOTO, probabilities, crf), wanted, atol=1e-4)
    if labels == 2:
        np.testing.assert_allclose(crfrnn.refine(PHOTO, probabilities[1], crf), wanted[1], atol=1e-4)
    assert crf.cell.kernel_weights.dtype == torch.float64
    assert crf.cell.kernel_weights.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_softmax_of_half_precision_sums_to_1(dtype: torch.dtype) -> None:
    logits = 3 * torch.randn(21, HEIGHT, WIDTH)
    got = crfrnn.refine(PHOTO, logits.to(dtype).softmax(0), NUMBERS)
    assert got.dtype == dtype
    wanted = crfrnn.refine(PHOTO, logits.softmax(0), NUMBERS)
    torch.testing.assert_close(got.float(), wanted, rtol=0, atol=0.02)


def test_lists_of_several_sizes_are_single_calls() -> None:
    photos = [PHOTO, PHOTO[:4], PHOTO, PHOTO.transpose(1, 0, 2)]
    masks: list[Any] = [MASK, torch.from_numpy(MASK[:4]), MASK[::-1].copy(), MASK.T[None]]
    results = crfrnn.refine(photos, masks, NUMBERS)
    assert isinstance(results, list)
    for photo, mask, result in zip(photos, masks, results, strict=True):
        alone = crfrnn.refine(photo, mask, NUMBERS)
        assert (type(result), result.shape) == (type(mask), mask.shape)
        np.testing.assert_allclose(np.asarray(result), np.asarray(alone), atol=1e-6)
    assert crfrnn.refine([], []) == []
    assert crfrnn.refine(PHOTO[None][:0], MASK[None, None][:0]).shape == (0, 1, HEIGHT, WIDTH)


def test_batches_are_single_calls() -> None:
    photos, masks = (
        torch.from_numpy(np.stack([PHOTO, PHOTO[::-1]])).permute(0, 3, 1, 2),
        torch.from_numpy(np.stack([MASK, MASK**2])),
    )
    result = crfrnn.refine(photos, masks[:, None], NUMBERS)
    assert result.shape == (2, 1, HEIGHT, WIDTH)
    for photo, mask, own in zip(photos, masks, result, strict=True):
        torch.testing.assert_close(own[0], crfrnn.refine(photo, mask, NUMBERS))
    assert isinstance(crfrnn.refine(photos.numpy(), masks[:, None].numpy(), NUMBERS), np.ndarray)


def test_a_blurred_mask_gets_its_border_back() -> None:
    """A disc of one color on ground of another, known at every eighth pixel."""
    y, x = np.mgrid[:64, :80]
    disc = (y - 30) ** 2 + (x - 40) ** 2 < 20**2
    photo = np.where(disc[..., None], (200, 60, 40), (60, 90, 120)).astype(np.float32)
    photo = np.clip(photo + RANDOM.normal(0, 4, photo.shape), 0, 255).astype(np.uint8)
    blurred = disc.reshape(8, 8, 10, 8).mean((1, 3)).repeat(8, 0).repeat(8, 1)

    def iou(mask: np.ndarray) -> float:
        return (mask & disc).sum() / (mask | disc).sum()

    result = crfrnn.refine(photo, blurred) > 0.5
    assert iou(result) > iou(blurred > 0.5) + 0.02
    assert iou(crfrnn.refine(photo, blurred, "DeepLab") > 0.5) > iou(blurred > 0.5) + 0.02


@pytest.mark.parametrize(
    ("photo", "mask", "more", "message"),
    [
        (PHOTO, 3 * MASK - 1, {}, r"probabilities lie in -.*wanted 0\.\.1: take the sigmoid or softmax"),
        (PHOTO, MASK[:4], {}, r"probabilities have shape \[4, 9\], the image has 6 rows and 9 columns"),
        (PHOTO, np.stack([MASK, MASK, MASK]), {}, r"probabilities sum to .* over labels; wanted 1"),
        (PHOTO, (9 * MASK).astype(np.int64), {}, r"probabilities are torch\.int64; wanted floating point"),
        (PHOTO, np.full_like(MASK, np.nan), {}, r"probabilities lie in nan"),
        (PHOTO / 128.0 - 1, MASK, {}, r"image lies in -1.*before it is normalized"),
        (PHOTO.astype(np.int32), MASK, {}, r"image is torch\.int32"),
        (
            Image.fromarray(PHOTO[..., 0] / np.float32(255)),
            MASK,
            {},
            r"image holds 32-bit floating-point numbers, which",
        ),
        (
            PHOTO,
            (MASK > 0.5).astype(np.uint8),
            {},
            r"probabilities are uint8 and hold nothing but 0 and 1 of 255; wanted",
        ),
        (PHOTO[..., :2], MASK, {}, r"image has shape \[6, 9, 2\]"),
        ("photo.jpg", MASK, {}, r"image is a str; wanted a NumPy array, a tensor or an image of Pillow"),
        (PHOTO, Image.fromarray(PHOTO), {}, r"probabilities is an image of mode 'RGB'"),
        (PHOTO, [MASK], {}, r"the probabilities are several but the image is not"),
        ([PHOTO, PHOTO], [MASK], {}, r"got 2 images for 1 probabilities"),
        ([PHOTO, PHOTO], [MASK, MASK - 1], {}, r"probabilities 1 lie in"),
        (PHOTO, MASK, {"crf": "deeplab"}, r"crf is 'deeplab'; wanted one of 'Kraehenbuehl"),
        (PHOTO, MASK, {"device": "gpu"}, r"device is 'gpu', which torch cannot use"),
        (PHOTO[None], MASK[None], {}, r"of the same length, or one of each; a batch of masks is \[B, 1, H, W\]"),
        (PHOTO.astype(np.longdouble), MASK, {}, r"image is an array of \w+; wanted one of numbers that torch has"),
        (
            SCAN,
            SCAN / np.float32(255),
            {},
            r"wanted \[H, W, 3\], .*, or spacing=, which says that it is a signal or volume",
        ),
        (
            PHOTO,
            MASK,
            {"crf": CRFRNN(2, [feature_kernel("depth", 1.0, 1.0)])},
            r"a kernel of the crf looks at 'depth', and refine has the image alone; wanted kernels of positions and image",
        ),
        (
            PHOTO,
            MASK,
            {"crf": CRFRNN(3)},
            r"crf has num_labels=3, and the probabilities are over 2 labels; those of one",
        ),
        (PHOTO, MASK, {"crf": 3}, r"crf is a int; wanted a crfrnn\.presets\.FixedCRF"),
        (
            PHOTO,
            np.ma.masked_less(MASK, 0.1),
            {},
            r"probabilities is an array of float32; wanted one of numbers .* without",
        ),
    ],
)
def test_what_does_not_fit_is_refused(photo: Any, mask: Any, more: dict, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        crfrnn.refine(photo, mask, **more)
