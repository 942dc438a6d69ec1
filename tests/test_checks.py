"""Bad input of the layer, each with its error: what came, what was wanted."""

import warnings

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, feature_kernel, smoothness_kernel


def unary(*shape: int) -> Tensor:
    return torch.randn(shape or (1, 3, 4, 5))


def image(*shape: int) -> Tensor:
    return 255 * torch.rand(shape or (1, 3, 4, 5))


def with_nan(tensor: Tensor) -> Tensor:
    tensor[0, 0, 0, 0] = torch.nan
    return tensor


CALLS = [
    ((unary(3, 4, 5), image()), ValueError, r"unary has shape \[3, 4, 5\]; wanted \[B, C, H, W\]"),
    ((unary(), image(3, 4, 5)), ValueError, r"image has shape \[3, 4, 5\]"),
    ((unary(), image(1, 3, 8, 10)), ValueError, r"\[1, 3, 8, 10\].*\[1, 3, 4, 5\].*resize"),
    ((unary(), image(2, 3, 4, 5)), ValueError, "equal batch"),
    ((unary(1, 4, 4, 5), image()), ValueError, "num_labels=3"),
    ((unary(1, 4, 5, 3), image()), ValueError, "channels first"),
    ((unary(0, 3, 4, 5), image(0, 3, 4, 5)), ValueError, "at least one image"),
    ((with_nan(unary()), image()), ValueError, "unary holds values that are not finite"),
    ((unary(), with_nan(image())), ValueError, "image holds values that are not finite"),
    ((unary().long(), image()), TypeError, r"unary is torch.int64.*float\(\)"),
    ((unary(), image().byte()), TypeError, r"image is torch.uint8"),
    ((unary().numpy(), image()), TypeError, "ndarray"),
    ((unary(),), ValueError, "image, which was not given"),
    ((unary(), image(), -1), ValueError, "num_iterations is -1"),
    ((unary(), image(), 2.5), ValueError, r"num_iterations is 2\.5"),
    ((unary(), image(), 3, -0.1), ValueError, "tolerance is -0.1"),
    ((unary(), image(), 3, None, {"depth": image()}), ValueError, "no kernel looks at features depth"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), CALLS)
def test_bad_calls(arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        CRFRNN(3)(*arguments)


def test_bad_calls_fail_without_iterations_too() -> None:
    with pytest.raises(ValueError, match="resize"):
        CRFRNN(3)(unary(), image(1, 3, 8, 10), num_iterations=0)


SETTINGS = [
    ({"num_labels": 1}, ValueError, "at least 2 labels"),
    ({"num_iterations": -1}, ValueError, "num_iterations is -1"),
    ({"kernels": []}, ValueError, "kernels is empty"),
    ({"kernels": [3.0]}, TypeError, r"kernels holds 3\.0"),
    ({"normalization": "sym"}, ValueError, "'symmetric'"),
    ({"kernel_weights": "full"}, ValueError, "'matrix'"),
    ({"filter": "fast"}, ValueError, "'lattice', 'exact'"),
    ({"compatibility": "ising"}, ValueError, "'potts'"),
    ({"compatibility": torch.eye(4)}, ValueError, r"\[3, 3\]"),
    ({"compatibility": torch.full((3, 3), torch.inf)}, ValueError, "finite"),
]


@pytest.mark.parametrize(("changes", "error", "message"), SETTINGS)
def test_bad_settings(changes: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        CRFRNN(**{"num_labels": 3, **changes})


@pytest.mark.parametrize("theta", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_bandwidths(theta: float) -> None:
    for make in (
        lambda: smoothness_kernel(theta_gamma=theta),
        lambda: appearance_kernel(theta_alpha=theta),
        lambda: appearance_kernel(theta_beta=theta),
        lambda: feature_kernel("depth", theta, 1.0),
    ):
        with pytest.raises(ValueError, match="wanted a positive finite number"):
            make()


def test_features_are_not_called_image() -> None:
    with pytest.raises(ValueError, match="appearance_kernel"):
        feature_kernel("image", 1.0, 1.0)


def test_an_image_in_0_to_1_warns_once() -> None:
    crf = CRFRNN(3)
    with pytest.warns(UserWarning, match=r"0\.\.1.*raw image") as caught:
        [crf(unary(), image() / 255) for _ in range(2)]
    assert len(caught) == 1


def test_other_images_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CRFRNN(3)(unary(), image())
        CRFRNN(3)(unary(), torch.zeros(1, 3, 4, 5))
        CRFRNN(3, [smoothness_kernel()])(unary(), image() / 255)
