"""The atrous VGG-16 against the published sizes and numbers of parameters."""

import pytest
import torch

from crfrnn.nets.vgg import CONVOLUTIONS, LargeFOV, scaled

NARROW = 0.05


def test_parameters_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in LargeFOV(21).parameters())
    # Added up by hand: the 13 convolutions of VGG-16 have 14,714,688 parameters.
    assert count == 14_714_688 + (512 * 1024 * 9 + 1024) + (1024 * 1024 + 1024) + (1024 * 21 + 21)
    assert round(count / 1e6, 2) == 20.51


@pytest.mark.parametrize(("pixels", "scores"), [(321, 41), (513, 65), (1, 1), (9, 2), (97, 13)])
def test_one_score_every_eight_pixels(pixels: int, scores: int) -> None:
    network = LargeFOV(5, width=NARROW).eval()
    assert network(torch.zeros(1, 3, pixels, 9)).shape == (1, 5, scores, 2)


def test_score_belongs_to_its_pixel() -> None:
    """Shifting the image by the stride shifts the scores by one, away from the borders."""
    network = LargeFOV(3, width=NARROW).double().eval()
    image = 255 * torch.rand(1, 3, 17, 545, dtype=torch.float64)
    here, there = network(image), network(image.roll(8, dims=3))
    # Scores 31 to 37 lie 248 pixels from either end, more than half the receptive field.
    assert here[..., 31:38].std() > 0
    torch.testing.assert_close(there[..., 32:38], here[..., 31:37], rtol=1e-6, atol=1e-9)


def test_the_mean_colour_is_subtracted_inside() -> None:
    network = LargeFOV(3, width=NARROW).eval()
    mean = torch.tensor([122.675, 116.669, 104.008]).view(1, 3, 1, 1).expand(1, 3, 17, 17)
    with torch.no_grad():
        network.fc8.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    # Biases are zero and nothing else comes in, so that only the last bias comes out.
    torch.testing.assert_close(network(mean)[0, :, 1, 1], torch.tensor([1.0, 2.0, 3.0]))


def test_width_scales_the_channels() -> None:
    network = LargeFOV(21, width=0.5)
    assert [network.get_submodule(name).out_channels for name in CONVOLUTIONS[:5]] == [32, 32, 64, 64, 128]
    assert network.fc7.out_channels == 512
    assert scaled(64, 0.01) == 8


@pytest.mark.parametrize(
    ("arguments", "message"), [({"num_labels": 1}, "at least 2"), ({"num_labels": 2, "width": 0.0}, "width is 0")]
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LargeFOV(**arguments)
