"""The learned guide: it begins as the image, follows its equation, and its gradients are right."""

import copy
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from crfrnn import CRFRNN, appearance_kernel, feature_kernel, residual, smoothness_kernel
from crfrnn.nets import SegmentationModel, build_model
from crfrnn.nets.guide import in_units

NETWORKS = ["deeplab-largefov", "deeplabv3-mobilenetv2"]


def model_of(name: str, channels: int = 3, **settings: float) -> SegmentationModel:
    torch.manual_seed(0)
    kernels = [smoothness_kernel(2.0, 1.0), feature_kernel("learned", 20.0, 2.0, theta_position=9.0)]
    crf = CRFRNN(4, kernels, 3)
    return build_model(name, 4, crf, width=0.1, dropout=0.0, guide_channels=channels, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_begins_as_the_appearance_kernel(name: str, training: bool) -> None:
    model = model_of(name).train(training)
    colors = CRFRNN(4, [smoothness_kernel(2.0, 1.0), appearance_kernel(9.0, 20.0, 2.0)], 3)
    image = 255 * torch.rand(2, 3, 33, 41)
    with torch.no_grad():
        torch.testing.assert_close(model(image), colors(model.unary(image), image), rtol=0, atol=0)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_is_colors_plus_what_early_layers_say_at_each_pixel(scale: float) -> None:
    """The map of stride s at pixel (s i, s j) of the network's input, channels in units of their root mean square."""
    model = model_of("deeplabv3-mobilenetv2", 4, input_scale=scale).train()
    assert model.guide is not None
    for layer in model.guide.embed:
        torch.nn.init.normal_(layer.weight)  # type: ignore[arg-type]
    image = 255 * torch.rand(1, 3, 65, 65)
    with torch.no_grad():
        found = model.learned_guide(image)
        seen = model.network_input(image)
        wanted = F.pad(image, (0, 0, 0, 0, 0, 1))[0, :, ::32, ::32]
        for layer, early in zip(model.guide.embed, model.network.early(seen), strict=True):  # type: ignore[union-attr, operator]
            stride = (seen.shape[-1] - 1) // (early.shape[-1] - 1)
            step = round(32 * scale) // stride
            values = early[0] / early[0].square().mean().sqrt()
            wanted = wanted + torch.einsum("dc,chw->dhw", layer.weight[..., 0, 0], values[:, ::step, ::step])  # type: ignore[index, arg-type]
    torch.testing.assert_close(found[0, :, ::32, ::32], wanted, rtol=1e-5, atol=1e-3)


def test_early_maps_are_those_the_scores_are_made_of() -> None:
    """Going on from the last of them gives the scores."""
    model = model_of("deeplabv3-mobilenetv2").eval()
    network, image = model.network, 255 * torch.rand(1, 3, 513, 513)
    with torch.no_grad():
        x = network.early(image)[-1]  # type: ignore[union-attr, operator]
        x = network.features[7:](x)  # type: ignore[union-attr, index]
        pooled = F.relu(network.pooling(x.mean((2, 3), keepdim=True))).expand(-1, -1, *x.shape[2:])  # type: ignore[union-attr, operator]
        x = F.relu(network.projection(torch.cat([pooled, F.relu(network.aspp(x))], 1)))  # type: ignore[union-attr, operator]
        torch.testing.assert_close(network.logits(x), network(image))  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("channels", [3, 5])
def test_gradients_reach_every_channel_by_finite_differences(channels: int) -> None:
    model = model_of("deeplabv3-mobilenetv2", channels).double().train()
    assert model.guide is not None
    image = 255 * torch.rand(1, 3, 17, 17, dtype=torch.float64)
    unary = torch.randn(1, 4, 17, 17, dtype=torch.float64)
    weight = model.guide.embed[1].weight
    assert isinstance(weight, torch.nn.Parameter)
    direction = torch.randn_like(weight)

    def value() -> torch.Tensor:
        return model.refine(unary, image).softmax(1)[:, 0].square().sum()

    value().backward()
    assert weight.grad is not None
    assert (weight.grad.abs().amax((1, 2, 3)) > 0).all()
    step = 1e-6
    with torch.no_grad():
        weight += step * direction
        above = value()
        weight -= 2 * step * direction
        below = value()
    slope = float((weight.grad * direction).sum())
    assert slope == pytest.approx(float(above - below) / (2 * step), rel=1e-4)


def test_layers_of_large_values_in_half_precision_have_units() -> None:
    """Their squares are beyond 65504, the largest number of float16."""
    values = 300 + 300 * torch.rand(2, 8, 5, 5)
    wanted = values / values.square().mean((1, 2, 3), keepdim=True).sqrt()
    torch.testing.assert_close(in_units(values.half()), wanted, rtol=1e-3, atol=0)


def test_a_layer_of_zeros_has_a_finite_gradient() -> None:
    values = torch.zeros(1, 8, 5, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(in_units(values).sum(), values)
    assert gradient.isfinite().all()


def test_the_layer_of_a_model_can_be_copied() -> None:
    layer = model_of("deeplabv3-mobilenetv2").eval().layer
    assert layer is not None
    unary, image = torch.randn(1, 4, 17, 17), 255 * torch.rand(1, 3, 17, 17)
    with torch.no_grad():
        wanted = layer(unary, image)
        torch.testing.assert_close(copy.deepcopy(layer)(unary, image), wanted)
        torch.testing.assert_close(pickle.loads(pickle.dumps(layer))(unary, image), wanted)


def test_the_layer_of_a_model_is_called_like_the_crf() -> None:
    """Also by `residual`; further features of the caller's are passed on."""
    layer = model_of("deeplabv3-mobilenetv2").eval().layer
    assert layer is not None
    unary, image = torch.randn(1, 4, 17, 17), 255 * torch.rand(1, 3, 17, 17)
    more: dict[str, Any] = {"tolerance": 0.1, "spacing": (2, 1)}
    with torch.no_grad():
        features = {"learned": layer.guide(image)}
        logits = layer(unary, image, 20, **more)
        assert torch.equal(logits, layer.crf(unary, image, 20, features=features, **more))
        wanted = residual(layer.crf, logits, unary, image, features)
        assert torch.equal(residual(layer, logits, unary, image), wanted)


def test_guide_and_crf_belong_together() -> None:
    learned = CRFRNN(4, [feature_kernel("learned", 20.0, 2.0)])
    with pytest.raises(ValueError, match="guide_channels is 0, but a kernel of the CRF looks at 'learned'; wanted 3"):
        build_model("deeplabv3-mobilenetv2", 4, learned, width=0.1)
    for crf in (None, CRFRNN(4)):
        with pytest.raises(
            ValueError, match="guide_channels is 3, but no kernel of a CRF looks at the guide; wanted a"
        ):
            build_model("deeplabv3-mobilenetv2", 4, crf, width=0.1, guide_channels=3)


def test_networks_without_early_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="an FCN has no early layers"):
        build_model("fcn-8s", 4, CRFRNN(4, [feature_kernel("learned", 20.0, 2.0)]), width=0.1, guide_channels=3)


@pytest.mark.parametrize("channels", [1, 6, 3.5])
def test_a_guide_has_3_to_5_channels(channels: int) -> None:
    with pytest.raises(ValueError, match="wanted 3 to 5, or 0"):
        model_of("deeplab-largefov", channels)
