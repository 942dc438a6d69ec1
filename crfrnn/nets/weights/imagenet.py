"""ImageNet weights of VGG-16: from torchvision, or from a file of the original Caffe convolutions."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from crfrnn._files import load_arrays, load_torch, naming
from crfrnn.nets.assembly import Network
from crfrnn.nets.variants import CONVOLUTIONS
from crfrnn.nets.vgg import VGG16
from crfrnn.nets.weights.decimation import decimate_fc6, decimate_fc7

CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
"""What the VGG authors' convolutions expect to be subtracted from a BGR image in 0..255."""

FEATURES_MEAN_RGB = (0.48235 * 255, 0.45882 * 255, 0.40784 * 255)
"""The same mean as torchvision states it for IMAGENET1K_FEATURES, in gray levels, RGB."""

V1_MEAN_RGB = (0.485 * 255, 0.456 * 255, 0.406 * 255)
"""Mean for torchvision's IMAGENET1K_V1, in gray levels."""

V1_STD_RGB = (0.229 * 255, 0.224 * 255, 0.225 * 255)
"""Deviation for torchvision's IMAGENET1K_V1, in gray levels."""

TORCHVISION_NAMES = {
    **{
        name: f"features.{position}"
        for name, position in zip(CONVOLUTIONS, (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), strict=True)
    },
    "fc6": "classifier.0",
    "fc7": "classifier.3",
}
"""Where our layers are in torchvision's vgg16."""

TRUNK_SCALE = 14.0
"""Root mean square of conv5_3 on photographs under the original convolutions (measured: 10 to 16); He's initialization
counts on 1."""

Tensors = dict[str, torch.Tensor]


def load_imagenet(network: Network, source: str | os.PathLike) -> list[str]:
    """Fill conv1_1 ... conv5_3, and fc6 and fc7 where the source has them, with ImageNet weights.

    fc6 and fc7 are decimated to the size of the network's; see decimation.py. Returns the names of the layers left as they
    were.

    Args:
        source: "imagenet-v1" for all layers of torchvision's vgg16 (IMAGENET1K_V1), "imagenet" for the original Caffe
            convolutions (IMAGENET1K_FEATURES, no fc6 and fc7), each downloaded once by torchvision; a `.pth` file with the
            state dict of either (taken for the second where its classifier is missing or not finite); or an `.npz` file
            with `conv1_1_weight` (OIHW), `conv1_1_bias` ... for BGR input minus `CAFFE_MEAN_BGR`.

    Raises FileNotFoundError where there is no such file, ValueError where it holds something else or the network is not
    of width 1.
    """
    if not isinstance(network, VGG16):
        raise ValueError(
            f"{os.fspath(source)!r} stands for weights of VGG-16, and the network is {network.variant}; wanted a "
            "checkpoint of this network, FILE.pt (python -m crfrnn.nets.convert makes one of published weights)"
        )
    if source in ("imagenet", "imagenet-v1"):
        tensors = from_torchvision_state(_download(source == "imagenet-v1"), network.mean)
    else:
        look_for_imagenet(source)
        with naming(source):
            tensors = _from_file(source, network.mean)
    return load_vgg16(network, tensors, os.fspath(source))


def look_for_imagenet(source: str | os.PathLike) -> None:
    """Raise FileNotFoundError where `source` of `load_imagenet` is a file that does not exist."""
    if source not in ("imagenet", "imagenet-v1") and not os.path.isfile(source):
        raise FileNotFoundError(
            f"there are no weights at {os.fspath(source)!r}; wanted 'imagenet' or 'imagenet-v1', which torchvision "
            "downloads, an .npz or a .pth file (python -m crfrnn.data.download vgg16-imagenet --out DIR fetches "
            "DIR/vgg16-397923af.pth)"
        )


@torch.no_grad()
def load_vgg16(network: VGG16, tensors: Tensors, source: str = "the weights") -> list[str]:
    """Copy the tensors "conv1_1.weight", "conv1_1.bias", ..., made for the network's input, into it.

    "fc6.*" and "fc7.*" may be there, too, of full size; they are decimated. Without them, fc6 is scaled so that He's
    initialization fits what the convolutions give. `source` is what messages call the tensors. Returns the names of the
    layers left as they were; raises ValueError, with the network untouched, where a tensor is missing or does not fit.
    """
    tensors, filled = dict(tensors), list(CONVOLUTIONS)
    own = network.state_dict()
    if "fc6.weight" in tensors:
        filled += ["fc6", "fc7"]
    wanted = [f"{name}.{kind}" for name in filled for kind in ("weight", "bias")]
    for name in wanted:
        if name not in tensors:
            raise ValueError(
                f"{source!r} has no {name}; wanted the convolutions of VGG-16, with or without fc6 and fc7"
            )
    if network.width != 1:
        raise ValueError(
            f"{source!r} holds the published layers, the network was built with width={network.width}; "
            "ImageNet weights fit width=1.0 only"
        )
    if "fc6" in filled:
        channels, _, kernel, _ = own["fc6.weight"].shape
        fc6 = decimate_fc6(tensors["fc6.weight"], tensors["fc6.bias"], kernel, channels)
        fc7 = decimate_fc7(tensors["fc7.weight"], tensors["fc7.bias"], channels)
        tensors |= dict(zip(("fc6.weight", "fc6.bias", "fc7.weight", "fc7.bias"), (*fc6, *fc7), strict=True))
    for name in wanted:
        if tensors[name].shape != own[name].shape:
            raise ValueError(
                f"{name} in {source!r} has shape {list(tensors[name].shape)}, VGG-16 wants {list(own[name].shape)}"
            )
    for name in wanted:
        own[name].copy_(tensors[name])
    if "fc6" not in filled:
        own["fc6.weight"].div_(TRUNK_SCALE)
    return [name for name, _ in network.named_children() if name not in filled]


def fold_input(
    tensors: Tensors,
    mean_rgb: Sequence[float],
    std_rgb: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    ours: torch.Tensor,
    bgr: bool = False,
) -> None:
    """Make conv1_1, trained on (image - mean) / std in RGB or BGR order, one for RGB images minus the color `ours`.

    Colors are in gray levels of 0..255. The difference of the means goes into the bias: exact but for the outermost
    pixels, where the zeros of the padding now stand for our mean instead of theirs. Changes `tensors` in place.
    """
    weight, bias = tensors["conv1_1.weight"], tensors["conv1_1.bias"]
    if weight.ndim != 4 or weight.shape[1] != 3 or bias.shape != weight.shape[:1]:
        raise ValueError(
            f"conv1_1 has a weight {list(weight.shape)} and a bias {list(bias.shape)}; wanted [O, 3, k, k] and [O]"
        )
    weight = (weight.flip(1) if bgr else weight) / torch.tensor(std_rgb).view(3, 1, 1)
    tensors["conv1_1.weight"] = weight
    tensors["conv1_1.bias"] = bias + weight.sum((2, 3)) @ (ours.flatten().cpu() - torch.tensor(mean_rgb))


def from_torchvision_state(state: Tensors, ours: torch.Tensor) -> Tensors:
    """A state dict of torchvision's vgg16 under our names, for images minus the color `ours`."""
    tensors = {}
    for name, theirs in TORCHVISION_NAMES.items():
        for kind in ("weight", "bias"):
            key = f"{theirs}.{kind}"
            if key in state:
                tensors[f"{name}.{kind}"] = state[key].float()
            elif name in CONVOLUTIONS:
                raise ValueError(f"no {key!r} among the weights; wanted the state dict of torchvision's vgg16")
    full = [tensors.get(f"{name}.{kind}") for name in ("fc6", "fc7") for kind in ("weight", "bias")]
    if all(tensor is not None and bool(tensor.sum().isfinite()) for tensor in full):
        fold_input(tensors, V1_MEAN_RGB, V1_STD_RGB, ours=ours)
        return tensors
    fold_input(tensors, FEATURES_MEAN_RGB, ours=ours)
    return {name: tensor for name, tensor in tensors.items() if name.startswith("conv")}


def _download(full: bool) -> Tensors:
    from crfrnn._torchvision import torchvision

    weights = torchvision.models.VGG16_Weights
    return dict((weights.IMAGENET1K_V1 if full else weights.IMAGENET1K_FEATURES).get_state_dict(check_hash=True))


def _from_file(path: str | os.PathLike, ours: torch.Tensor) -> Tensors:
    if os.fspath(path).endswith(".npz"):
        tensors = _from_npz(path)
        fold_input(tensors, CAFFE_MEAN_BGR[::-1], ours=ours, bgr=True)
        return tensors
    wanted = "state dict of torchvision's vgg16"
    return from_torchvision_state(checked_state(load_torch(path, wanted), path, wanted), ours)


def checked_state(content: Any, path: str | os.PathLike, wanted: str) -> Tensors:
    """`content` where it is a state dict, dense tensors of real numbers by name; ValueError, naming the file, where not."""
    if not isinstance(content, dict) or not content or not all(isinstance(name, str) for name in content):
        raise ValueError(
            f"{os.fspath(path)!r} holds no state dict; wanted a {wanted}: torch.save(model.state_dict(), ...)"
        )
    for name, each in content.items():
        dense = isinstance(each, torch.Tensor) and each.layout == torch.strided and each.device.type == "cpu"
        if not dense or each.is_quantized or each.is_complex():
            raise ValueError(f"{name} in {os.fspath(path)!r} is no plain tensor of real numbers; wanted a {wanted}")
    return content


def _from_npz(path: str | os.PathLike) -> Tensors:
    arrays = load_arrays(path)
    if not isinstance(arrays, dict) or any(array.dtype.kind not in "fiu" for array in arrays.values()):
        raise ValueError(f"{os.fspath(path)!r} is no .npz archive of real numbers; wanted the convolutions of VGG-16")
    tensors = {
        ".".join(key.rsplit("_", 1)): torch.from_numpy(array.astype(np.float32)) for key, array in arrays.items()
    }
    for name in ("conv1_1.weight", "conv1_1.bias"):
        if name not in tensors:
            raise ValueError(
                f"{os.fspath(path)!r} has no {name.replace('.', '_')!r}; wanted the convolutions of VGG-16"
            )
    return tensors
