"""ImageNet weights from files: the same function of the image whatever the order, mean and scale of the file."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crfrnn.nets import DeepLab, build_model, load_imagenet
from crfrnn.nets.variants import BLOCKS, CONVOLUTIONS
from crfrnn.nets.weights.imagenet import TORCHVISION_NAMES, from_torchvision_state, load_vgg16


@pytest.fixture(scope="module")
def caffe() -> dict[str, np.ndarray]:
    """Small random stand-ins for the published convolutions."""
    rng = np.random.default_rng(0)
    tensors, channels = {}, 3
    for block, count, out in BLOCKS:
        for i in range(1, count + 1):
            tensors[f"conv{block}_{i}_weight"] = 0.02 * rng.standard_normal((out, channels, 3, 3), dtype=np.float32)
            tensors[f"conv{block}_{i}_bias"] = rng.standard_normal(out, dtype=np.float32)
            channels = out
    return tensors


def torchvision_state(caffe: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The same convolutions under torchvision's names, RGB."""
    state = {}
    for name in CONVOLUTIONS:
        weight = torch.from_numpy(caffe[f"{name}_weight"])
        state[f"{TORCHVISION_NAMES[name]}.weight"] = weight.flip(1) if name == "conv1_1" else weight
        state[f"{TORCHVISION_NAMES[name]}.bias"] = torch.from_numpy(caffe[f"{name}_bias"])
    return state


def classifier() -> dict[str, Tensor]:
    """fc6 and fc7 of full size that know their channels, and take no memory until they are decimated."""
    channels = torch.arange(4096.0)
    return {
        "classifier.0.weight": channels[:, None].expand(4096, 25088),
        "classifier.0.bias": channels,
        "classifier.3.weight": (channels / 4096)[:, None].expand(4096, 4096),
        "classifier.3.bias": channels,
    }


def first_layer(tensors: dict[str, np.ndarray], rgb: Tensor, mean_bgr: tuple) -> Tensor:
    """conv1_1 as its authors ran it: BGR, minus their mean."""
    bgr = rgb.flip(1) - torch.tensor(mean_bgr).view(1, 3, 1, 1)
    return F.conv2d(bgr, torch.from_numpy(tensors["conv1_1_weight"]), torch.from_numpy(tensors["conv1_1_bias"]))


def ours(network: DeepLab, rgb: Tensor) -> Tensor:
    return F.conv2d(rgb - network.mean, network.conv1_1.weight, network.conv1_1.bias)


def test_npz_gives_the_same_first_layer(caffe: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "vgg.npz", **caffe)
    network = build_model("deeplab-largefov").network
    fc6 = network.fc6.weight.detach().clone()
    assert load_imagenet(network, tmp_path / "vgg.npz") == ["fc6", "fc7", "fc8"]
    rgb = 255 * torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(
        ours(network, rgb), first_layer(caffe, rgb, (103.939, 116.779, 123.68)), rtol=1e-4, atol=1e-3
    )
    for name in CONVOLUTIONS[1:]:
        layer = network.get_submodule(name)
        assert torch.equal(layer.weight, torch.from_numpy(caffe[f"{name}_weight"]))
        assert torch.equal(layer.bias, torch.from_numpy(caffe[f"{name}_bias"]))
    ratio = network.fc6.weight.detach() / fc6
    torch.testing.assert_close(ratio, torch.full_like(ratio, float(ratio.flatten()[0])))  # rescaled, not replaced


def test_features_of_torchvision(caffe: dict[str, np.ndarray], tmp_path: Path) -> None:
    torch.save(torchvision_state(caffe), tmp_path / "vgg16.pth")
    network = build_model("deeplab-msc-largefov").network
    left = load_imagenet(network, tmp_path / "vgg16.pth")
    assert left[:3] == ["fc6", "fc7", "fc8"]
    assert len(left) == 3 + 15
    rgb = 255 * torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(ours(network, rgb), first_layer(caffe, rgb, (104.0, 117.0, 123.0)), rtol=1e-4, atol=1e-2)


def test_a_classifier_that_is_not_filled_in_means_the_features_alone(caffe: dict[str, np.ndarray]) -> None:
    state = torchvision_state(caffe)
    mean = torch.tensor([122.675, 116.669, 104.008])
    nan = {key: torch.tensor(torch.nan).expand(tensor.shape) for key, tensor in classifier().items()}
    bare, unfilled = from_torchvision_state(state, mean), from_torchvision_state({**state, **nan}, mean)
    assert list(bare) == list(unfilled) == [f"{name}.{kind}" for name in CONVOLUTIONS for kind in ("weight", "bias")]
    assert torch.equal(bare["conv1_1.weight"], unfilled["conv1_1.weight"])


def test_all_layers_of_torchvision_are_decimated(caffe: dict[str, np.ndarray]) -> None:
    state = torchvision_state(caffe)
    network = build_model("deeplab-largefov").network
    tensors = from_torchvision_state({**state, **classifier()}, network.mean)
    assert load_vgg16(network, tensors) == ["fc8"]
    rgb = 255 * torch.rand(1, 3, 8, 8)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    wanted = F.conv2d((rgb / 255 - mean) / std, state["features.0.weight"], state["features.0.bias"])
    torch.testing.assert_close(ours(network, rgb), wanted, rtol=1e-4, atol=1e-4)
    kept = torch.arange(0.0, 4096.0, 4.0)
    assert torch.equal(network.fc6.weight[:, 7, 1, 2], kept)
    assert torch.equal(network.fc6.bias, kept)
    assert torch.equal(network.fc7.weight[:, 5, 0, 0], kept / 4096)
    assert torch.equal(network.fc7.bias, kept)


def test_bad_sources(caffe: dict[str, np.ndarray], tmp_path: Path) -> None:
    network = build_model("deeplab-largefov").network
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_imagenet(network, tmp_path / "nowhere.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match=r"text\.npz"):
        load_imagenet(network, tmp_path / "text.npz")
    (tmp_path / "text.pth").write_text("no state")
    with pytest.raises(ValueError, match=r"text\.pth"):
        load_imagenet(network, tmp_path / "text.pth")
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"features\.0\.bias"):
        load_imagenet(network, tmp_path / "part.pth")
    for content in ([1], {}, {7: torch.zeros(1)}):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=r"other\.pth' holds no state dict; wanted a state dict of torchvision"):
            load_imagenet(network, tmp_path / "other.pth")
    state = torchvision_state(caffe)
    torch.save(state | {"features.0.bias": torch.zeros(2)}, tmp_path / "bias.pth")
    with pytest.raises(
        ValueError, match=r"bias\.pth' does not fit: conv1_1 has a weight \[64, 3, 3, 3\] and a bias \[2\]"
    ):
        load_imagenet(network, tmp_path / "bias.pth")
    torch.save(state | {"features.2.bias": "x"}, tmp_path / "text.pth")
    with pytest.raises(ValueError, match=r"features\.2\.bias in .*text\.pth' is no plain tensor of real numbers"):
        load_imagenet(network, tmp_path / "text.pth")
    np.savez(tmp_path / "words.npz", conv1_1_weight=np.array(["a"]))
    with pytest.raises(ValueError, match=r"words\.npz' is no \.npz archive of real numbers"):
        load_imagenet(network, tmp_path / "words.npz")
    np.savez(tmp_path / "part.npz", conv1_1_weight=caffe["conv1_1_weight"])
    with pytest.raises(ValueError, match="conv1_1_bias"):
        load_imagenet(network, tmp_path / "part.npz")
    np.savez(tmp_path / "part.npz", **{key: caffe[key] for key in ("conv1_1_weight", "conv1_1_bias")})
    with pytest.raises(ValueError, match=r"conv1_2\.weight"):
        load_imagenet(network, tmp_path / "part.npz")
    np.savez(tmp_path / "vgg.npz", **caffe)
    with pytest.raises(ValueError, match=r"width=1\.0"):
        load_imagenet(build_model("deeplab-largefov", width=0.1).network, tmp_path / "vgg.npz")
