"""Network and CRF put together: sizes, upsampling, padding, and the CRF on the raw image."""

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, smoothness_kernel
from crfrnn.nets import NETWORKS, build_model
from crfrnn.nets.layers import origin

NARROW = 0.05


def image(height: int, width: int, batch: int = 1) -> Tensor:
    return 255 * torch.rand(batch, 3, height, width)


@pytest.mark.parametrize(("height", "width"), [(33, 41), (50, 64), (1, 7), (8, 9), (65, 1)])
@pytest.mark.parametrize("input_scale", [1.0, 0.5])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["deeplab-largefov", "deeplab", "deeplab-msc", "fcn-16s"])
def test_logits_have_the_size_of_the_image(
    name: str, height: int, width: int, input_scale: float, training: bool
) -> None:
    model = build_model(name, 4, width=NARROW, input_scale=input_scale).train(training)
    assert model(image(height, width, 2)).shape == (2, 4, height, width)


@pytest.mark.parametrize("name", ["deeplab", "deeplab-largefov"])
@pytest.mark.parametrize("stride", [None, 8, 16, 32])
@pytest.mark.parametrize("training", [False, True])
def test_logits_lie_over_the_pixels_they_belong_to(name: str, stride: int | None, training: bool) -> None:
    """Scores that hold the pixel they are centerd on come out as a ramp over the pixels, half a pixel up at most."""
    model = build_model(name, 2, width=NARROW, output_stride=stride).double().train(training)
    network, size = model.network, 200
    start, step = origin(network.chain(training)), network.output_stride
    seen = []

    def ramp(module: torch.nn.Module, inputs: tuple[Tensor], scores: Tensor) -> Tensor:
        seen.append(inputs[0].shape[-1])
        cells = torch.arange(scores.shape[-1], dtype=torch.float64)
        return (float(start) + step * cells).expand(1, 2, scores.shape[-2], -1)

    network.register_forward_hook(ramp)
    logits = model(image(size, size).double())[0, 0, 0]
    lead = 0 if not training else network.origin % step
    rest = 2 if name == "deeplab" else 1
    assert (seen[0] - rest) % step == 0
    middle = slice(step, size - step)
    off = logits[middle] - lead - torch.arange(size, dtype=torch.float64)[middle]
    assert off.abs().max() <= 0.5
    aligned = logits[middle].diff()
    torch.testing.assert_close(aligned, torch.ones_like(aligned))


def test_training_scores_lie_on_every_eighth_pixel() -> None:
    for name in NETWORKS[:6]:
        model = build_model(name, 2, width=NARROW).train()
        assert model.scores(image(305, 97)).shape == (1, 2, 39, 13)


def test_upsampling_is_bilinear_between_the_corners() -> None:
    model = build_model(num_labels=2, width=NARROW)
    scores = torch.tensor([[0.0, 8.0], [16.0, 24.0]]).expand(1, 2, 2, 2)
    got = model.upsample(scores, torch.Size((9, 9)))
    ramp = torch.arange(9.0)
    torch.testing.assert_close(got[0, 0], ramp[None] + 2 * ramp[:, None])
    # An image of 6 x 9 is padded to 9 x 9 first, so that it sees the upper part of the same.
    torch.testing.assert_close(model.upsample(scores, torch.Size((6, 9))), got[:, :, :6])


def test_padding_is_the_mean_color() -> None:
    model = build_model(num_labels=3, width=NARROW).eval()
    picture = image(20, 30)
    padded = torch.tensor([122.675, 116.669, 104.008]).view(1, 3, 1, 1).repeat(1, 1, 25, 33)
    padded[:, :, :20, :30] = picture
    torch.testing.assert_close(model(picture), model(padded)[:, :, :20, :30])


def test_half_resolution_sees_every_second_pixel() -> None:
    model = build_model(num_labels=3, width=NARROW, input_scale=0.5)
    assert model.padded_size(321) == 321
    assert model.scores(image(321, 33)).shape == (1, 3, 21, 3)


def test_the_crf_gets_the_raw_image_and_the_unary() -> None:
    crf = CRFRNN(3)
    model = build_model(num_labels=3, width=NARROW, crf=crf).eval()
    picture = image(17, 25)
    torch.testing.assert_close(model(picture, num_iterations=2), crf(model.unary(picture), picture, num_iterations=2))
    torch.testing.assert_close(model(picture, num_iterations=0), model.unary(picture))


def test_gradients_reach_both_parts() -> None:
    model = build_model(num_labels=3, width=NARROW, crf=CRFRNN(3, num_iterations=2))
    model(image(17, 17)).square().mean().backward()
    wanted = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert {"network.conv1_1.weight", "crf.cell.kernel_weights", "crf.cell.compatibility"} <= set(wanted)
    silent = [
        name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet"}, "deeplab-largefov"),
        ({"num_labels": 4, "crf": CRFRNN(3, [smoothness_kernel()])}, "same number of labels"),
        ({"input_scale": 0.0}, "input_scale"),
        ({"dropout": float("nan")}, "dropout is nan; wanted a probability"),
        ({"dropout": 1.0}, r"dropout is 1\.0"),
    ],
)
def test_bad_models(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(width=NARROW, **arguments)


def test_bad_images() -> None:
    model = build_model(num_labels=3, width=NARROW)
    with pytest.raises(ValueError, match=r"\[B, 3, H, W\]"):
        model(torch.zeros(3, 9, 9))
    with pytest.raises(ValueError, match="RGB"):
        model(torch.zeros(1, 1, 9, 9))
    with pytest.raises(TypeError, match="float"):
        model(torch.zeros(1, 3, 9, 9, dtype=torch.uint8))
    with pytest.raises(ValueError, match="no CRF"):
        model(image(9, 9), num_iterations=5)
    with pytest.raises(ValueError, match="image holds values that are not finite"):
        model(image(9, 9) / 0)
