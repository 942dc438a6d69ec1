"""ImageNet weights from files: the same function of the image whatever the order and mean of the file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crfrnn.nets import load_imagenet
from crfrnn.nets.vgg import CONVOLUTIONS, TRUNK, LargeFOV
from crfrnn.nets.weights import FEATURES


@pytest.fixture(scope="module")
def caffe() -> dict[str, np.ndarray]:
    """Small random stand-ins for the published convolutions."""
    rng = np.random.default_rng(0)
    tensors, channels = {}, 3
    for block, count, out, *_ in TRUNK:
        for i in range(1, count + 1):
            tensors[f"conv{block}_{i}_weight"] = 0.02 * rng.standard_normal((out, channels, 3, 3), dtype=np.float32)
            tensors[f"conv{block}_{i}_bias"] = rng.standard_normal(out, dtype=np.float32)
            channels = out
    return tensors


def first_layer(tensors: dict[str, np.ndarray], rgb: torch.Tensor, mean_bgr: tuple) -> torch.Tensor:
    """conv1_1 as its authors ran it: BGR, minus their mean."""
    bgr = rgb.flip(1) - torch.tensor(mean_bgr).view(1, 3, 1, 1)
    return torch.nn.functional.conv2d(
        bgr, torch.from_numpy(tensors["conv1_1_weight"]), torch.from_numpy(tensors["conv1_1_bias"])
    )


def ours(network: LargeFOV, rgb: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.conv2d(rgb - network.mean, network.conv1_1.weight, network.conv1_1.bias)


def test_npz_gives_the_same_first_layer(caffe: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "vgg.npz", **caffe)
    network = LargeFOV(21)
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


def test_torchvision_state_gives_the_same_first_layer(caffe: dict[str, np.ndarray], tmp_path: Path) -> None:
    state = {}
    for name, position in zip(CONVOLUTIONS, FEATURES, strict=True):
        weight = torch.from_numpy(caffe[f"{name}_weight"])
        state[f"features.{position}.weight"] = weight.flip(1) if name == "conv1_1" else weight
        state[f"features.{position}.bias"] = torch.from_numpy(caffe[f"{name}_bias"])
    torch.save(state, tmp_path / "vgg16.pth")
    network = LargeFOV(21)
    load_imagenet(network, tmp_path / "vgg16.pth")
    rgb = 255 * torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(ours(network, rgb), first_layer(caffe, rgb, (104.0, 117.0, 123.0)), rtol=1e-4, atol=1e-2)


def test_bad_sources(caffe: dict[str, np.ndarray], tmp_path: Path) -> None:
    network = LargeFOV(21)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_imagenet(network, tmp_path / "nowhere.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match=r"text\.npz"):
        load_imagenet(network, tmp_path / "text.npz")
    (tmp_path / "text.pth").write_text("no state")
    with pytest.raises(ValueError, match=r"text\.pth"):
        load_imagenet(network, tmp_path / "text.pth")
    np.savez(tmp_path / "part.npz", conv1_1_weight=caffe["conv1_1_weight"])
    with pytest.raises(ValueError, match="conv1_1_bias"):
        load_imagenet(network, tmp_path / "part.npz")
    np.savez(tmp_path / "vgg.npz", **caffe)
    with pytest.raises(ValueError, match=r"width=1\.0"):
        load_imagenet(LargeFOV(21, width=0.1), tmp_path / "vgg.npz")
