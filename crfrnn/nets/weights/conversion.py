"""From a file of weights to a model of ours: every tensor accounted for."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from crfrnn._files import naming
from crfrnn.data.voc import VOC_CLASSES
from crfrnn.meanfield import CRFRNN
from crfrnn.nets.assembly import NETWORKS, SegmentationModel, build_model
from crfrnn.nets.bgr import CRFOnBGR, crf_from_settings
from crfrnn.nets.weights.decimation import decimate_fc6, decimate_fc7
from crfrnn.nets.weights.imagenet import TRUNK_SCALE
from crfrnn.nets.weights.loading import covered, load_tensors
from crfrnn.nets.weights.mapping import SCORE_WEIGHTS, Entry, SourceFile, by_target
from crfrnn.nets.weights.sources import Order, read_source


@dataclass(frozen=True)
class Conversion:
    """The result of converting a file.

    Attributes:
        model: with the weights of the file.
        architecture, classes: what `save_checkpoint` needs to know about it.
        table: for every tensor of the file its name, its shape, its name in the model (or ""), and what was done to it.
        notes: remarks on what was reinitialized, missing or assumed.
    """

    model: SegmentationModel
    architecture: dict[str, Any]
    classes: list[str]
    table: list[tuple[str, str, str, str]]
    notes: list[str]


def convert(
    path: str | os.PathLike,
    name: str | None = None,
    num_labels: int | None = None,
    *,
    width: float | None = None,
    classes: Sequence[str] | None = None,
    order: Order | None = None,
    accept_missing: Sequence[str] = (),
    accept_left_over: Sequence[str] = (),
) -> Conversion:
    """The model that the weights in a file belong to, with these weights loaded.

    Args:
        path: a `.caffemodel` (VGG-16, DeepLab v1, FCN, CRF-RNN), `crfasrnn_weights.pth`, DeepLabV3-MobileNetV2 as a
            `.tflite`, a state dict of torchvision's vgg16 or of ours, or a checkpoint of ours.
        name: one of `NETWORKS`; None where the file tells. fc6 and fc7 of a full VGG-16 are decimated to its size.
        num_labels: L; None for that of the file, 21 where it has no scores. With another number the trunk is kept and the
            label layers start from their initialization.
        width: factor on the channels of the network; None for the published ones.
        classes: names of the labels; None for those of the file, or VOC's, or numbers.
        order: of the colors, for a state dict that does not tell; see `read_source`.
        accept_missing: parameters of the model that may keep their initial values: names, or their beginnings up to a dot,
            as "fc8".
        accept_left_over: tensors of the file to leave out, likewise.

    Where fc6 is missing, its initial values are scaled for what the convolutions of ImageNet give, as in `load_vgg16`.
    Raises FileNotFoundError or ValueError, with what came, what was wanted and the fix.
    """
    with naming(path):
        return _convert(path, name, num_labels, width, classes, order, accept_missing, accept_left_over)


def _convert(
    path: str | os.PathLike,
    name: str | None,
    num_labels: int | None,
    width: float | None,
    classes: Sequence[str] | None,
    order: Order | None,
    accept_missing: Sequence[str],
    accept_left_over: Sequence[str],
) -> Conversion:
    source = read_source(path, order)
    for entry in source.entries:
        if entry.target is not None and any(covered(each, accept_left_over) for each in entry.sources):
            entry.target = None
    targets = by_target(source.entries)
    architecture = _architecture(source, targets, name, num_labels, width)
    model = build_model(**architecture, crf=_crf(source, targets, architecture["num_labels"]))
    own = model.state_dict()
    _fit(targets, own)
    missing = [each for each in own if each not in targets and not covered(each, source.assumed)]
    _check_complete(os.fspath(path), source, own, missing, accept_missing, accept_left_over)
    kept = [*missing, *(each for each in own if covered(each, source.assumed))]
    tensors = {target: each.tensor for target, each in targets.items() if target in own}
    reset = load_tensors(model, tensors, accept_missing=kept)
    if "network.fc6.weight" in missing:
        with torch.no_grad():
            model.network.get_parameter("fc6.weight").div_(TRUNK_SCALE)
    return Conversion(
        model,
        architecture,
        _classes(classes or source.classes, architecture["num_labels"], given=classes is not None),
        _table(source.entries, own, reset),
        _notes(source, model, missing, reset, targets),
    )


def _architecture(
    source: SourceFile, targets: dict[str, Entry], name: str | None, num_labels: int | None, width: float | None
) -> dict[str, Any]:
    if name is not None and name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}; the networks are {', '.join(NETWORKS)}")
    if name is None and source.variant is None:
        raise ValueError(
            f"the layers of this file ({source.what}) do not tell which network it is for; say --model with one of "
            f"{', '.join(NETWORKS)}"
        )
    eights = {"fcn-8s", "fcn-8s-at-once"}
    if source.variant in eights and name in eights and name != source.variant:
        raise ValueError(
            f"the file is of {source.variant}, whose skips have other scales than those of {name}; leave --model out"
        )
    scores = [targets[each].tensor.shape[0] for each in SCORE_WEIGHTS if each in targets]
    architecture = dict(source.architecture or {}) | {"name": name or source.variant}
    of_file = scores[0] if scores else len(VOC_CLASSES)
    architecture["num_labels"] = of_file if num_labels is None else num_labels
    if width is not None:
        architecture["width"] = width
    return architecture


def _crf(source: SourceFile, targets: dict[str, Entry], num_labels: int) -> CRFRNN | None:
    if source.crf is None or not any(target.startswith("crf.") for target in targets):
        return None
    return crf_from_settings({**source.crf, "num_labels": num_labels})


def _fit(targets: dict[str, Entry], own: dict[str, Tensor]) -> None:
    """Bring fc6 and fc7 of a full VGG-16 to the size of the model's, and give upscore2 the bias that most files lack."""
    if "network.fc6.weight" not in own:
        return
    channels, _, kernel, _ = own["network.fc6.weight"].shape
    for layer in ("fc6", "fc7"):
        weight, bias = (targets.get(f"network.{layer}.{kind}") for kind in ("weight", "bias"))
        if weight is None or bias is None or weight.tensor.shape == own[f"network.{layer}.weight"].shape:
            continue
        before = weight.tensor
        outputs = len(before)
        if layer == "fc6" and (before.ndim == 2 or before.shape[-1] == 7 > kernel):
            weight.tensor, bias.tensor = decimate_fc6(before, bias.tensor, kernel, channels)
            weight.done.append(f"matrix -> {kernel}x{kernel}" if before.ndim == 2 else f"7x7 -> {kernel}x{kernel}")
        elif layer == "fc7" and (before.ndim == 2 or outputs > channels):
            weight.tensor, bias.tensor = decimate_fc7(before, bias.tensor, channels)
        if outputs > channels == len(weight.tensor):
            for each in (weight, bias):
                each.done.append(f"decimated, {outputs} -> {channels} channels")
    name = "network.upscore2.bias"
    if name in own and name not in targets and "network.upscore2.weight" in targets:
        labels = targets["network.upscore2.weight"].tensor.shape[1]
        targets[name] = Entry({}, name, torch.zeros(labels))


def _check_complete(
    path: str,
    source: SourceFile,
    own: dict[str, Tensor],
    missing: Sequence[str],
    accept_missing: Sequence[str],
    accept_left_over: Sequence[str],
) -> None:
    """Raise ValueError for parameters without a tensor and tensors without a parameter that were not accepted."""
    lacking = [each for each in missing if not covered(each, accept_missing)]
    unused = {
        each: shape
        for entry in source.entries
        if entry.target not in own
        for each, shape in entry.sources.items()
        if not covered(each, accept_left_over)
    }
    if not lacking and not unused:
        return
    problems, fixes = [], []
    if lacking:
        problems.append("the network also wants " + ", ".join(f"{each} {list(own[each].shape)}" for each in lacking))
        fixes.append("--accept-missing " + " ".join(_layers(lacking)))
    if unused:
        problems.append("the file also holds " + ", ".join(f"{each} {shape}" for each, shape in unused.items()))
        fixes.append("--accept-leftover " + " ".join(_layers(unused)))
    raise ValueError(
        f"{path!r} ({source.what}) does not fit: {'; '.join(problems)}. Choose the network it is of with --model, or accept "
        f"that by name: {' '.join(fixes)}"
    )


def _layers(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.removeprefix("network.").rsplit(".", 1)[0] for name in names))


def _classes(names: Sequence[str] | None, num_labels: int, *, given: bool) -> list[str]:
    if names is not None and len(names) == num_labels:
        return list(names)
    if given and names is not None:
        raise ValueError(f"{len(names)} names of classes for a model of {num_labels} labels; wanted one for each")
    return list(VOC_CLASSES) if num_labels == len(VOC_CLASSES) else [f"label {i}" for i in range(num_labels)]


def _table(entries: Iterable[Entry], own: dict[str, Tensor], reset: Sequence[str]) -> list[tuple[str, str, str, str]]:
    rows = []
    for entry in entries:
        target = entry.target if entry.target in own else None
        done = ", ".join(entry.done) or "as it is"
        if target is None:
            done = "left out"
        elif target in reset:
            done = "not used: another number of labels"
        rows += [(name, "x".join(map(str, shape)), target or "", done) for name, shape in entry.sources.items()]
    return rows


def _notes(
    source: SourceFile, model: SegmentationModel, missing: list[str], reset: list[str], targets: dict[str, Entry]
) -> list[str]:
    notes = []
    if reset:
        notes.append(f"reinitialized for {model.network.num_labels} labels: {', '.join(reset)}")
    if missing:
        notes.append(f"not in the file, as initialized: {', '.join(missing)}")
    bias = targets.get("network.upscore2.bias")
    if bias is not None and not bias.sources:
        notes.append("network.upscore2.bias: zero, the layer of the file has no bias")
    if model.crf is not None:
        crf = model.crf
        thetas = " and ".join("/".join(f"{theta:g}" for theta in each.tolist()) for each in crf.bandwidths)
        assumed = " (as published; not in the file)" if source.assumed else ""
        colors = ", on BGR minus the mean color" if isinstance(crf, CRFOnBGR) else ""
        notes.append(
            f"CRF{colors}: bandwidths {thetas}{assumed}, T = {crf.num_iterations}, normalization {crf.normalization!r}"
        )
    return notes
