"""ImageNet weights for the VGG-16 trunk: from torchvision, or from a file of the original Caffe convolutions."""

import os
import pickle
import zipfile

import numpy as np
import torch

from crfrnn.nets.vgg import CONVOLUTIONS, LargeFOV

CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
"""What the VGG authors' convolutions expect to be subtracted from a BGR image in 0..255."""

TORCHVISION_MEAN_RGB = (0.48235 * 255, 0.45882 * 255, 0.40784 * 255)
"""The same mean as torchvision states it for IMAGENET1K_FEATURES, in grey levels, RGB."""

FEATURES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""Positions of the 13 convolutions in torchvision's vgg16().features."""

TRUNK_SCALE = 14.0
"""Root mean square of conv5_3 on photographs under these weights (measured: 10 to 16); He's initialisation counts on 1."""

Tensors = dict[str, torch.Tensor]


def load_imagenet(network: LargeFOV, source: str | os.PathLike) -> list[str]:
    """Fill the 13 convolutions of `network` with ImageNet weights; returns the names of the layers left as they were.

    `source` is "imagenet" (torchvision's IMAGENET1K_FEATURES, downloaded once by torchvision), an `.npz` file with
    `conv1_1_weight` (OIHW) and `conv1_1_bias` ... for BGR input minus `CAFFE_MEAN_BGR`, or a `.pth` file with the state
    dict of torchvision's vgg16 in its IMAGENET1K_FEATURES flavour.

    Raises FileNotFoundError where there is no such file, ValueError where it holds something else or the network is not
    of width 1.
    """
    if source == "imagenet":
        tensors, mean_rgb = _from_torchvision(), TORCHVISION_MEAN_RGB
    elif not os.path.isfile(source):
        raise FileNotFoundError(f"no weights at {os.fspath(source)!r}; wanted 'imagenet', an .npz or a .pth file")
    elif os.fspath(source).endswith(".npz"):
        tensors, mean_rgb = _from_npz(source), CAFFE_MEAN_BGR[::-1]
    else:
        tensors, mean_rgb = _from_state_dict(source), TORCHVISION_MEAN_RGB
    _fold_mean(tensors, torch.tensor(mean_rgb), network.mean.flatten().cpu())
    _copy(network, tensors, source)
    return [name for name, _ in network.named_children() if name not in CONVOLUTIONS]


def _from_torchvision() -> Tensors:
    from torchvision.models import VGG16_Weights

    return _rename(VGG16_Weights.IMAGENET1K_FEATURES.get_state_dict(check_hash=True))


def _from_state_dict(path: str | os.PathLike) -> Tensors:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{os.fspath(path)!r} is not a state dict that torch can read: {error}") from error
    return _rename(state)


def _rename(state: Tensors) -> Tensors:
    tensors = {}
    for name, position in zip(CONVOLUTIONS, FEATURES, strict=True):
        for kind in ("weight", "bias"):
            key = f"features.{position}.{kind}"
            if key not in state:
                raise ValueError(f"no {key!r} among the weights; wanted the state dict of torchvision's vgg16")
            tensors[f"{name}_{kind}"] = state[key].float().clone()
    return tensors


def _from_npz(path: str | os.PathLike) -> Tensors:
    try:
        with np.load(path) as archive:
            tensors = {key: torch.from_numpy(archive[key]).float() for key in archive.files}
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise ValueError(f"{os.fspath(path)!r} is not a readable .npz archive of numbers: {error}") from error
    if "conv1_1_weight" in tensors:
        tensors["conv1_1_weight"] = tensors["conv1_1_weight"].flip(1)  # BGR -> RGB
    return tensors


def _fold_mean(tensors: Tensors, theirs: torch.Tensor, ours: torch.Tensor) -> None:
    """Move the difference of the subtracted means (RGB, under a grey level) into the first bias."""
    if "conv1_1_weight" in tensors and "conv1_1_bias" in tensors:
        tensors["conv1_1_bias"] = tensors["conv1_1_bias"] + tensors["conv1_1_weight"].sum((2, 3)) @ (ours - theirs)


@torch.no_grad()
def _copy(network: LargeFOV, tensors: Tensors, source: str | os.PathLike) -> None:
    for name in CONVOLUTIONS:
        for kind in ("weight", "bias"):
            key, target = f"{name}_{kind}", getattr(network.get_submodule(name), kind)
            if key not in tensors:
                raise ValueError(f"{os.fspath(source)!r} has no {key!r}; wanted the 13 convolutions of VGG-16")
            if tensors[key].shape != target.shape:
                raise ValueError(
                    f"{key} in {os.fspath(source)!r} has shape {list(tensors[key].shape)}, the network wants "
                    f"{list(target.shape)}; ImageNet weights fit width=1.0 only"
                )
    for name, parameter in network.named_parameters():
        if name.split(".")[0] in CONVOLUTIONS:
            parameter.copy_(tensors[name.replace(".", "_")])
    network.fc6.weight.div_(TRUNK_SCALE)
