"""Readers for published weight files; each maps the file's tensor names to ours."""

import os
import re
from typing import Literal

import torch
from torch import Tensor

from crfrnn._files import load_torch
from crfrnn.kernels import appearance_kernel, smoothness_kernel
from crfrnn.meanfield import CRFRNN
from crfrnn.nets.variants import CONVOLUTIONS, VARIANTS, FCNVariant
from crfrnn.nets.vgg import MEAN_RGB
from crfrnn.nets.weights.caffemodel import read_caffemodel
from crfrnn.nets.weights.checkpoint import FORMAT, checked_checkpoint
from crfrnn.nets.weights.crfasrnn import THETAS, is_crfasrnn, is_pair_term, pair_term, published_settings, read_crfasrnn
from crfrnn.nets.weights.imagenet import CAFFE_MEAN_BGR, TORCHVISION_NAMES, checked_state, from_torchvision_state
from crfrnn.nets.weights.mapping import SCORE_WEIGHTS, Entry, SourceFile, entry, recognize, to_rgb
from crfrnn.nets.weights.tflite import from_tflite, read_tflite

Order = Literal["rgb", "bgr"]

SCORES = {
    "score-fr": "score_fr",
    "score-pool4": "score_pool4",
    "score-pool3": "score_pool3",
    "score2": "upscore2",
    "score4": "upscore_pool4",
}
"""Our names for layers of the older FCN files and of CRF-RNN's file."""

UPSAMPLES = {64: "upscore", 32: "upscore16", 16: "upscore8"}
"""Our name for the last layer of these files, "upsample", by the size of its kernel."""

IMAGENET_CLASSES = 1000

FIRST_WEIGHTS = (f"network.{CONVOLUTIONS[0]}.weight", "network.features.0.0.weight")
"""Every network of ours has one of these."""


def read_source(path: str | os.PathLike, order: Order | None = None) -> SourceFile:
    """The tensors in a `.caffemodel` or `.tflite` file, or in any file of torch with a checkpoint of ours or a state dict.

    Args:
        order: channel order of the images that a state dict was trained on, where its names leave that open.

    Raises FileNotFoundError where there is no file, ValueError where it is damaged or of another network.
    """
    what = os.fspath(path)
    if what.endswith(".caffemodel"):
        source = from_caffe(read_caffemodel(path))
    elif what.endswith(".tflite"):
        source = from_tflite(read_tflite(path))
    else:
        source = _from_torch(_load(path), order)
    if not {each.target for each in source.entries} & set(FIRST_WEIGHTS):
        names = list(dict.fromkeys(each.source.rsplit(".", 1)[0] for each in source.entries))
        raise ValueError(
            f"{what!r} is of another network: its layers are {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}; "
            f"wanted one of the VGG-16 family, {CONVOLUTIONS[0]} ... {CONVOLUTIONS[-1]}, or DeepLabV3 on MobileNetV2"
        )
    for each in source.entries:
        if each.target is not None and not bool(each.tensor.isfinite().all()):
            raise ValueError(f"{each.source} in {what!r} holds numbers that are not finite; the file is damaged")
    return source


def from_caffe(layers: dict[str, list[Tensor]]) -> SourceFile:
    """A VGG-16, DeepLab, FCN or CRF-RNN of Caffe's: its layers and their blobs, which become `LAYER.0`, `LAYER.1`, ...

    VGG-16 as trained on ImageNet (no scores, but for 1000 classes) saw images minus `CAFFE_MEAN_BGR`, all others minus the
    mean color that ours have (FCN's differs by less than 0.005 gray levels).
    """
    entries: list[Entry] = []
    assumed: tuple[str, ...] = ()
    scales = {name: blobs[0] for name, blobs in layers.items() if re.fullmatch(r"scale_pool[34]", name)}
    for layer, blobs in layers.items():
        named = {f"{layer}.{i}": blob for i, blob in enumerate(blobs)}
        if is_pair_term(blobs):
            entries += pair_term(named, "caffe")
            assumed = THETAS
        elif layer not in scales:
            ours = _our_name(layer, blobs[0])
            entries += [_caffe_entry(name, ours, blob) for name, blob in named.items()]
    for layer, scale in scales.items():
        _settle_scale(entries, layer, scale)
    imagenet = not any(each.target in SCORE_WEIGHTS for each in entries)
    to_rgb(entries, CAFFE_MEAN_BGR[::-1] if imagenet else MEAN_RGB, MEAN_RGB)
    crf = published_settings(MEAN_RGB[::-1]) if assumed else None
    variant = "fcn-8s-at-once" if scales else recognize(entries)
    what = "Caffe, VGG-16 for ImageNet" if imagenet else "Caffe"
    return SourceFile(what, entries, variant, crf=crf, assumed=assumed)


def _our_name(layer: str, weight: Tensor) -> str | None:
    if layer == "upsample":
        return UPSAMPLES.get(weight.shape[-1])
    if re.fullmatch(r"fc8(_.+)?", layer):
        outputs = weight.shape[0] if weight.shape[0] > 1 else weight.squeeze().shape[0]
        return None if layer == "fc8" and outputs == IMAGENET_CLASSES else "fc8"
    return SCORES.get(layer, layer)


def _caffe_entry(source: str, layer: str | None, blob: Tensor) -> Entry:
    """Blob 0 as the weight [O, C, k, k] (fc6 of a classifier: [O, C * 49]) and blob 1 as the bias [O] of `layer`."""
    kind = {"0": "weight", "1": "bias"}.get(source.rsplit(".", 1)[1])
    made = entry(source, None if layer is None or kind is None else f"network.{layer}.{kind}", blob)
    if kind == "bias":
        made.tensor = blob.flatten()
    elif kind == "weight" and layer is not None:
        if blob.ndim == 4 and blob.shape[:2] == (1, 1):
            blob = blob[0, 0]  # the matrix of an inner product in the older files
        if blob.ndim == 2 and layer != "fc6":
            blob = blob[:, :, None, None]
        if layer.startswith("upscore") and blob.ndim == 4 and blob.shape[1] == 1 < blob.shape[0]:
            blob = torch.diag_embed(blob[:, 0].permute(1, 2, 0)).permute(2, 3, 0, 1).contiguous()
            made.done.append("one kernel per label -> diagonal")
        made.tensor = blob
    return made


def _settle_scale(entries: list[Entry], layer: str, scale: Tensor) -> None:
    """Check a constant layer of an FCN-8s trained at once, and record it with the score layer that follows it."""
    variant = VARIANTS["fcn-8s-at-once"]
    assert isinstance(variant, FCNVariant)
    pool = layer.removeprefix("scale_")
    ours = dict(zip(variant.skips, variant.scales, strict=True))[pool]
    if not torch.allclose(scale, torch.tensor(ours), rtol=1e-4, atol=0):
        raise ValueError(
            f"{layer} multiplies by {float(scale.flatten()[0]):g}, our fcn-8s-at-once by {ours:g}; it is another network"
        )
    score = next((each for each in entries if each.target == f"network.score_{pool}.weight"), None)
    if score is None:
        raise ValueError(f"{layer} comes without score_{pool}; the file is of another network, or damaged")
    score.sources[f"{layer}.0"] = list(scale.shape)
    score.done.append(f"after a constant {ours:g}, as in the network")


def _load(path: str | os.PathLike) -> dict:
    content = load_torch(path, "file of weights (.caffemodel or .tflite by its name, or readable by torch)")
    if isinstance(content, dict) and content.get("format") == FORMAT:
        return checked_checkpoint(content, path)
    return checked_state(content, path, "state dict of the VGG-16 family")


def _from_torch(content: dict, order: Order | None) -> SourceFile:
    if content.get("format") == FORMAT:
        entries = [entry(name, name, tensor) for name, tensor in content["model"].items()]
        architecture = content["architecture"]
        return SourceFile(
            "a checkpoint", entries, architecture["name"], architecture, content["crf"], classes=content["classes"]
        )
    if is_crfasrnn(content):
        return read_crfasrnn(content)
    if f"{TORCHVISION_NAMES[CONVOLUTIONS[0]]}.weight" in content:
        return _from_torchvision(content)
    if any(name.startswith("network.") for name in content):
        return _from_ours(content)
    return _from_network(content, order)


def _from_torchvision(state: dict[str, Tensor]) -> SourceFile:
    """torchvision's vgg16, with fc6 and fc7 where they are finite."""
    tensors = from_torchvision_state(state, torch.tensor(MEAN_RGB))
    ours = {
        f"{theirs}.{kind}": f"{name}.{kind}"
        for name, theirs in TORCHVISION_NAMES.items()
        for kind in ("weight", "bias")
    }
    entries = []
    for name, tensor in state.items():
        target = ours.get(name)
        if target not in tensors:
            entries.append(entry(name, None, tensor))
            continue
        made = Entry({name: list(tensor.shape)}, f"network.{target}", tensors[target])
        if target.startswith("conv1_1."):
            made.done.append("from 0..1, normalized, to our gray levels")
        entries.append(made)
    return SourceFile("torchvision's vgg16", entries)


def _from_ours(state: dict[str, Tensor]) -> SourceFile:
    """The state dict of a `SegmentationModel`: of its CRF, bandwidths and weights are there, other settings are not."""
    entries = [entry(name, name, tensor) for name, tensor in state.items()]
    crf = None
    if "crf.cell.kernel_weights" in state:
        form = ("scalar", "diagonal", "matrix")[state["crf.cell.kernel_weights"].ndim - 1]
        sizes = [tensor.numel() for name, tensor in state.items() if name.startswith("crf.initial_bandwidths_")]
        kernels = [appearance_kernel() if size == 2 else smoothness_kernel() for size in sizes]
        crf = CRFRNN(2, kernels, kernel_weights=form).settings()  # type: ignore[arg-type]
    return SourceFile("a state dict of ours", entries, _without_scales(recognize(entries)), crf=crf)


def _from_network(state: dict[str, Tensor], order: Order | None) -> SourceFile:
    """The state dict of a network alone, ours or another with Caffe's names for the layers."""
    entries = [entry(name, f"network.{name}", tensor) for name, tensor in state.items()]
    if f"{CONVOLUTIONS[0]}.weight" in state:
        if order is None:
            raise ValueError(
                f"a state dict with names like {CONVOLUTIONS[0]}.weight does not tell the order of colors it was trained "
                "on; say --order rgb for a network of ours, --order bgr for one with Caffe's weights"
            )
        if order == "bgr":
            to_rgb(entries, MEAN_RGB, MEAN_RGB)
    return SourceFile("a state dict of a network", entries, _without_scales(recognize(entries)))


def _without_scales(variant: str | None) -> str | None:
    """None where a state dict cannot tell an FCN-8s from one trained at once, whose skips are scaled by constants."""
    return None if variant == "fcn-8s" else variant
