"""Bad input of the layer, each with its error: what came, what was wanted."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, feature_kernel, grid_kernel, smoothness_kernel


def unary(*shape: int) -> Tensor:
    return torch.randn(shape or (1, 3, 4, 5))


def image(*shape: int) -> Tensor:
    return 255 * torch.rand(shape or (1, 3, 4, 5))


def with_nan(tensor: Tensor) -> Tensor:
    tensor[0, 0, 0, 0] = torch.nan
    return tensor


CALLS = [
    ((unary(3, 4, 5), image()), ValueError, r"unary has shape \[3, 4, 5\]; wanted \[B, 3, H, W\].*adds a batch of one"),
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
    ((unary(), image(), True), ValueError, "num_iterations is True"),
    ((unary(), image(), 3, torch.inf), ValueError, "tolerance is inf.*or None"),
    ((unary(), image(), 3, torch.nan), ValueError, "tolerance is nan"),
    ((unary(), image(), 3, "1e-3"), ValueError, "tolerance is '1e-3'"),
    ((unary(), image(), 3, None, {"depth": image()}), ValueError, "no kernel looks at features depth"),
    ((unary(), image(), 3, None, [image()]), TypeError, "features is a list; wanted them by name"),
    ((unary().to(torch.complex64), image()), TypeError, "unary is torch.complex64"),
    ((unary().to("meta"), image().to("meta")), TypeError, "unary is a meta tensor"),
    ((unary().to_sparse(), image()), TypeError, "unary is a torch.sparse_coo tensor.*to_dense"),
    ((torch.nested.nested_tensor([unary()[0]]), image()), TypeError, "unary is a nested tensor"),
    ((unary(), 1e300 * image().double()), ValueError, "image holds values too large for torch.float32"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), CALLS)
def test_bad_calls(arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        CRFRNN(3)(*arguments)


POSITIONS = [smoothness_kernel()]
SPACES = [
    (POSITIONS, (1, 3, 4, 5), (1.0, 2.0, 1.0), ValueError, "spacing has 3 numbers for 2 spatial axes"),
    (POSITIONS, (1, 3, 4, 5), (1.0, 0.0), ValueError, r"spacing is \(1.0, 0.0\); wanted positive"),
    (POSITIONS, (1, 3, 4), 2.0, TypeError, "spacing is a float; wanted a tuple"),
    (POSITIONS, (1, 3, 4), np.ones(1), TypeError, "spacing is a ndarray; wanted a tuple"),
    (
        [smoothness_kernel((3.0, 2.0))],
        (1, 3, 2, 4, 5),
        None,
        ValueError,
        "has 2 numbers.*or 3, one for each spatial axis",
    ),
    (
        [appearance_kernel(3.0, (2.0, 9.0))],
        (1, 3, 4),
        None,
        ValueError,
        "theta_guide.*2 numbers.*each channel of image",
    ),
    ([smoothness_kernel((3.0, 2.0))], (1, 3, 4), None, ValueError, "or one, for its only spatial axis"),
    (
        [grid_kernel(8)],
        (1, 3, 2, 4, 5),
        None,
        ValueError,
        r"2 axes, and the image has 3; wanted grid_kernel\(6 or 26\)",
    ),
    ([grid_kernel(26)], (1, 3, 4, 5), None, ValueError, r"3 axes, and the image has 2; wanted grid_kernel\(4 or 8\)"),
    (POSITIONS, (1, 3), None, ValueError, r"unary has shape \[1, 3\]; wanted \[B, C, N\] or"),
    (POSITIONS, (1, 3, 2, 2, 2, 2), None, ValueError, r"wanted .* or \[B, C, D, H, W\]"),
    (POSITIONS, (3, 2, 4, 5), None, ValueError, r"wanted \[B, 3, D, H, W\].*adds a batch of one"),
]


@pytest.mark.parametrize(("kernels", "shape", "spacing", "error", "message"), SPACES)
def test_bad_spaces(kernels: list, shape: tuple, spacing: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        CRFRNN(3, kernels)(unary(*shape), image(*shape), spacing=spacing)


def test_an_image_beside_a_volume() -> None:
    with pytest.raises(ValueError, match=r"image has shape \[1, 1, 4, 5\]; wanted \[B, C, D, H, W\]"):
        CRFRNN(3)(unary(1, 3, 2, 4, 5), image(1, 1, 4, 5))
    with pytest.raises(ValueError, match="equal batch and sizes of all axes: resize the unary"):
        CRFRNN(3)(unary(1, 3, 2, 4, 5), image(1, 1, 3, 4, 5))


@pytest.mark.parametrize("bad", [image(1, 3, 8, 10), 1e30 * image()], ids=["size", "reach"])
@pytest.mark.parametrize("method", ["forward", "iterate"])
def test_bad_calls_fail_without_iterations_too(method: str, bad: Tensor) -> None:
    with pytest.raises(ValueError, match=r"resize|too far"):
        getattr(CRFRNN(3), method)(unary(), bad, num_iterations=0)


def test_a_grid_of_colors_beyond_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="too far for the precision"):
        CRFRNN(3, [grid_kernel()])(unary(), 1e36 * (image() - 128))


def test_numbers_of_numpy_are_numbers() -> None:
    crf = CRFRNN(np.int64(3), [appearance_kernel(np.float64(9), 20.0, np.float32(2))], np.int64(2))
    inputs = unary(), image()
    wanted = CRFRNN(3, [appearance_kernel(9.0, 20.0, 2.0)], 2)(*inputs)
    torch.testing.assert_close(crf(*inputs, np.int64(2), np.float64(0)), wanted)
    torch.testing.assert_close(crf(*inputs, np.int64(2)), wanted, rtol=0, atol=0)


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
    ({"compatibility": torch.full((3, 3), 1e300, dtype=torch.float64)}, ValueError, "finite in torch.float32"),
    ({"compatibility": torch.eye(3).to(torch.complex64)}, TypeError, "compatibility is a torch.complex64"),
    ({"compatibility": torch.eye(3).numpy()}, TypeError, r"compatibility is a ndarray.*torch\.tensor"),
    ({"compatibility": torch.eye(3).tolist()}, TypeError, "compatibility is a list"),
    ({"num_labels": 3.0}, ValueError, r"num_labels is 3\.0"),
    ({"kernels": appearance_kernel()}, TypeError, r"wanted a list of kernels.*\[appearance_kernel\(\)\]"),
    ({"min_belief": "0.1"}, ValueError, "min_belief is '0.1'"),
    ({"message_tolerance": -1}, ValueError, "message_tolerance is -1"),
    ({"exclude_self": "no"}, TypeError, "exclude_self is 'no'; wanted True or False"),
    ({"dilate": 1}, TypeError, "dilate is 1"),
    ({"learn_bandwidths": None}, TypeError, "learn_bandwidths is None"),
]


@pytest.mark.parametrize(("changes", "error", "message"), SETTINGS)
def test_bad_settings(changes: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        CRFRNN(**{"num_labels": 3, **changes})


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), "3"])
def test_bad_weights(weight: Any) -> None:
    with pytest.raises(ValueError, match=r"the weight of a kernel is .*wanted a finite number"):
        smoothness_kernel(weight=weight)


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


# 0..1; normalized with the mean and deviation of ImageNet, as torchvision's networks take it.
@pytest.mark.parametrize("small", [torch.rand(1, 3, 4, 5), 4.8 * torch.rand(1, 3, 4, 5) - 2.1])
def test_an_image_that_is_not_in_gray_levels_warns_once(small: Tensor) -> None:
    crf = CRFRNN(3)
    with pytest.warns(UserWarning, match=r"lies in .*0\.\.255.*raw image") as caught:
        [crf(unary(), small) for _ in range(2)]
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_probabilities_as_unary_warn_once() -> None:
    crf = CRFRNN(3)
    with pytest.warns(UserWarning, match="sums to 1 over labels.*logarithm") as caught:
        [crf(unary().softmax(1), image()) for _ in range(2)]
    assert len(caught) == 1


def test_other_inputs_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CRFRNN(3)(unary(), image())
        CRFRNN(3)(unary(), image() - 110)  # minus the mean
        CRFRNN(3)(unary(), torch.zeros(1, 3, 4, 5))
        CRFRNN(3)(unary().softmax(1).log(), image())
        CRFRNN(3, [smoothness_kernel()])(unary(), image() / 255)
        CRFRNN(3, [appearance_kernel(theta_beta=0.03)])(unary(), image() / 255)  # in units of the image
