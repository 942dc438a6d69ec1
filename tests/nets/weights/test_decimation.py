"""Decimation of fc6 and fc7: which taps and channels stay, and that they look where they looked before."""

import pytest
import torch
import torch.nn.functional as F

from crfrnn.nets.weights.decimation import decimate_fc6, decimate_fc7, taps


@pytest.mark.parametrize(("kernel", "kept"), [(7, [0, 1, 2, 3, 4, 5, 6]), (4, [0, 2, 4, 6]), (3, [0, 3, 6])])
@pytest.mark.parametrize("channels", [8, 2])
def test_the_taps_it_says(kernel: int, kept: list[int], channels: int) -> None:
    assert taps(kernel) == kept
    out, inputs, rows, columns = torch.meshgrid(*(torch.arange(n) for n in (8, 3, 7, 7)), indexing="ij")
    weight = 1000 * out + 100 * inputs + 10 * rows + columns
    for given in (weight, weight.reshape(8, -1)):  # a matrix over (channel, row, column), as in torchvision and Caffe
        small, bias = decimate_fc6(given, torch.arange(8), kernel, channels)
        assert small.shape == (channels, 3, kernel, kernel)
        for o in range(channels):
            for y, row in enumerate(kept):
                for x, column in enumerate(kept):
                    assert int(small[o, 2, y, x]) == 1000 * o * (8 // channels) + 200 + 10 * row + column
        assert bias.tolist() == list(range(0, 8, 8 // channels))


@pytest.mark.parametrize(("kernel", "dilation"), [(4, 8), (3, 12)])
def test_decimated_taps_lie_where_they_lay(kernel: int, dilation: int) -> None:
    """The 7x7 kernel of dilation 4, all other taps zero, is the small one of the dilation its variant has."""
    weight, bias = torch.randn(4, 3, 7, 7, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    mask = torch.zeros(7)
    mask[taps(kernel)] = 1
    masked = weight * mask[:, None] * mask
    x = torch.randn(1, 3, 40, 33, dtype=torch.float64)
    wanted = F.conv2d(x, masked, bias, dilation=4, padding=12)
    small, kept_bias = decimate_fc6(weight, bias, kernel, 4)
    torch.testing.assert_close(F.conv2d(x, small, kept_bias, dilation=dilation, padding=12), wanted)


def test_fc7_connects_the_channels_that_stay() -> None:
    weight = torch.arange(64).view(8, 8)
    small, bias = decimate_fc7(weight, torch.arange(8), 2)
    assert small.squeeze().tolist() == [[0, 4], [32, 36]]
    assert small.shape == (2, 2, 1, 1)
    assert bias.tolist() == [0, 4]
    assert torch.equal(decimate_fc7(weight[..., None, None], torch.arange(8), 2)[0], small)


def test_what_cannot_be_decimated() -> None:
    fc6, bias = torch.zeros(8, 3, 7, 7), torch.zeros(8)
    with pytest.raises(ValueError, match="5x5"):
        decimate_fc6(fc6, bias, 5, 8)
    with pytest.raises(ValueError, match="keep 3 of 8"):
        decimate_fc6(fc6, bias, 3, 3)
    with pytest.raises(ValueError, match=r"\[8, 3, 4, 4\]"):
        decimate_fc6(fc6[..., :4, :4], bias, 3, 8)
    with pytest.raises(ValueError, match=r"\[8, 4\]"):
        decimate_fc7(torch.zeros(8, 4), bias, 2)
