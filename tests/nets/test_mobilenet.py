"""DeepLabV3-MobileNetV2 against its table of layers, and where images lie on its canvas."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crfrnn.nets import build_model, infer, load_imagenet, parameter_count, receptive_field
from crfrnn.nets.mobilenet import DeepLabV3MobileNetV2

NAME = "deeplabv3-mobilenetv2"
# Channels, stride and dilation of blocks 1 to 17, as published.
TABLE = [
    (16, 1, 1), (24, 2, 1), (24, 1, 1), (32, 2, 1), (32, 1, 1), (32, 1, 1), (64, 2, 1), (64, 1, 1), (64, 1, 1), (64, 1, 1),
    (96, 1, 1), (96, 1, 1), (96, 1, 1), (160, 1, 1), (160, 1, 2), (160, 1, 2), (320, 1, 2),
]  # fmt: skip


def lively(width: float = 0.25) -> DeepLabV3MobileNetV2:
    network = DeepLabV3MobileNetV2(5, width=width).double().eval()
    torch.nn.init.normal_(network.logits.weight)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    return network


def layer_by_layer(state: dict[str, Tensor], image: Tensor) -> Tensor:
    """The network written out with functions of torch, from its table."""

    def conv(x: Tensor, name: str, **settings: int) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **settings)

    x = conv(image / 127.5 - 1, "features.0.0", stride=2, padding=1).clamp(0, 6)
    before = 0
    for number, (channels, stride, dilation) in enumerate(TABLE, start=1):
        name, inner = f"features.{number}", x
        if number > 1:
            inner = conv(inner, f"{name}.expand").clamp(0, 6)
        inner = conv(
            inner, f"{name}.depthwise", stride=stride, padding=dilation, dilation=dilation, groups=inner.shape[1]
        ).clamp(0, 6)
        inner = conv(inner, f"{name}.project")
        x = x + inner if stride == 1 and channels == before else inner
        before = channels
    pooled = conv(x.mean((2, 3))[..., None, None], "pooling").relu() * torch.ones_like(x[:, :1])
    x = conv(torch.cat([pooled, conv(x, "aspp").relu()], 1), "projection").relu()
    return conv(x, "logits")


def test_it_is_the_table_of_its_layers() -> None:
    network, image = lively(), 255 * torch.rand(2, 3, 97, 65, dtype=torch.float64)
    expected = layer_by_layer(network.state_dict(), image)
    assert expected.shape == (2, 5, 7, 5)
    assert expected.std() > 0.01
    torch.testing.assert_close(network(image), expected)


def test_its_size_is_the_published_one() -> None:
    with torch.device("meta"):
        network = build_model(NAME, 21).network
    assert parameter_count(network) == 2_097_013
    assert list(network.state_dict())[2:6] == [
        "features.1.depthwise.weight", "features.1.depthwise.bias", "features.1.project.weight", "features.1.project.bias"
    ]  # fmt: skip


def test_images_lie_at_the_top_left_of_a_gray_canvas() -> None:
    model = build_model(NAME, 5, width=0.02).eval()
    image = 255 * torch.rand(1, 3, 40, 30)
    canvas = torch.full((1, 3, 513, 513), 128.0)
    canvas[:, :, :40, :30] = image
    scores = model.network(canvas)
    assert scores.shape == (1, 5, 33, 33)
    full = F.interpolate(scores, size=(513, 513), mode="bilinear", align_corners=True)
    torch.testing.assert_close(model(image), full[:, :, :40, :30])
    assert model.padded_size(520) == 529  # large ones lie on a canvas of 16 k + 1
    assert model.train().padded_size(257) == 257  # and crops in training have none
    assert model.padded_size(258) == 273


@pytest.mark.parametrize("size", [(1000, 760), (130, 171), (513, 400)])
def test_a_longer_side_is_brought_to_the_one_it_was_trained_at(size: tuple[int, int]) -> None:
    """By hand: resampled, on the canvas, scores upsampled between corners, cropped, and resampled back."""
    model = build_model(NAME, 5, width=0.02, input_side=513).double().eval()
    torch.nn.init.normal_(model.network.logits.weight)
    image = 255 * torch.rand(1, 3, *size, dtype=torch.float64)
    height, width = (round(side * 513 / max(size)) for side in size)
    canvas = torch.full((1, 3, 513, 513), 128.0, dtype=torch.float64)
    canvas[:, :, :height, :width] = F.interpolate(image, size=(height, width), mode="bilinear", antialias=True)
    full = F.interpolate(model.network(canvas), size=(513, 513), mode="bilinear", align_corners=True)
    expected = F.interpolate(full[:, :, :height, :width], size=size, mode="bilinear")
    torch.testing.assert_close(model(image), expected)
    torch.testing.assert_close(infer(model, image, tile=64), expected)  # nor do tiles change what it sees
    plain = build_model(NAME, 5, width=0.02).double()
    plain.load_state_dict(model.state_dict())
    model.train()
    model.network.dropout = plain.network.dropout = 0.0
    torch.testing.assert_close(model(image), plain(image))  # crops in training keep their pixels


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(ValueError, match=r"output_stride is 8, but deeplabv3-mobilenetv2 has one density"):
        build_model(NAME, 5, width=0.02, output_stride=8)
    with pytest.raises(ValueError, match="num_labels=1"):
        build_model(NAME, 1)
    with pytest.raises(ValueError, match="width is 0"):
        build_model(NAME, 3, width=0.0)
    with pytest.raises(ValueError, match="input_side is 0; wanted a length"):
        build_model(NAME, 3, width=0.02, input_side=0)
    model = build_model(NAME, 5, width=0.02, input_side=513)
    with pytest.raises(ValueError, match="canvas is 600, but this model brings images to a side of 513"):
        infer(model, torch.zeros(1, 3, 9, 9), canvas=600)
    with pytest.raises(ValueError, match=r"'imagenet' stands for weights of VGG-16, and the network is deeplabv3-mob"):
        load_imagenet(model.network, "imagenet")
    with pytest.raises(TypeError, match="VGG-16 family"):
        receptive_field(model)
