"""Reading the constants of quantized `.tflite` models without TensorFlow, and DeepLabV3-MobileNetV2 among them.

A file is a FlatBuffer: tables whose fields are found through a table of offsets, all positions relative. Only the fields
that hold weights are read:

    Model 2 subgraphs, 4 buffers    SubGraph 0 tensors    Buffer 0 data
    Tensor 0 shape, 1 type, 2 buffer, 3 name, 4 quantization    Quantization 2 scale (float), 3 zero_point (int64)
"""

import math
import os
import re
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crfrnn.nets.mobilenet import CANVAS, DeepLabV3MobileNetV2
from crfrnn.nets.weights.mapping import Entry, SourceFile

MARK = b"TFL3"
KINDS: dict[int, np.dtype] = {2: np.dtype("<i4"), 3: np.dtype("u1"), 9: np.dtype("i1")}
"""Types of quantized numbers by their code: int32 for biases, uint8 or int8 for weights."""

HEAD = {"aspp0": "aspp", "image_pooling": "pooling", "concat_projection": "projection", "logits": "logits"}
"""Our names for the layers of the head."""


def read_tflite(path: str | os.PathLike) -> dict[str, Tensor]:
    """The quantized constants of a model by name, dequantized: (q - zero point) * scale, float32, in the shapes of the file.

    Names that were fused are cut to the first. Raises FileNotFoundError where there is no file, ValueError where it is
    damaged, cut short or something else.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no TFLite model at {os.fspath(path)!r}")
    content = Path(path).read_bytes()
    try:
        if content[4:8] != MARK:
            raise ValueError(f"it lacks the mark {MARK.decode()}")
        return _constants(Table(content, Table(content, 0).offset(0)))
    except (struct.error, ValueError, IndexError, KeyError) as error:
        raise ValueError(
            f"{os.fspath(path)!r} cannot be read as a .tflite model of one graph with one scale for each tensor ({error}): "
            "it is cut short, damaged or something else; download it again"
        ) from error


class Table:
    """A table of a FlatBuffer that begins at `start`."""

    def __init__(self, content: bytes, start: int) -> None:
        self.content, self.start = content, start

    def number(self, kind: str, position: int) -> int:
        return struct.unpack_from(f"<{kind}", self.content, position)[0]

    def offset(self, position: int) -> int:
        """Where the offset at `position` leads."""
        return position + self.number("I", position)

    def field(self, number: int) -> int | None:
        """The position of a field; None where the table leaves it at its default."""
        fields = self.start - self.number("i", self.start)
        inside = 4 + 2 * number < self.number("H", fields)
        offset = self.number("H", fields + 4 + 2 * number) if inside else 0
        return self.start + offset if offset else None

    def value(self, number: int, kind: str) -> int:
        position = self.field(number)
        return 0 if position is None else self.number(kind, position)

    def table(self, number: int) -> "Table | None":
        position = self.field(number)
        return None if position is None else Table(self.content, self.offset(position))

    def vector(self, number: int, kind: str | np.dtype) -> np.ndarray:
        """The numbers in a field; none where it is not there."""
        position = self.field(number)
        if position is None:
            return np.zeros(0, kind)
        start = self.offset(position)
        return np.frombuffer(self.content, kind, self.number("I", start), start + 4)

    def tables(self, number: int) -> list["Table"]:
        position = self.field(number)
        start = None if position is None else self.offset(position) + 4
        offsets = self.vector(number, "<u4").tolist()
        return [] if start is None else [Table(self.content, start + 4 * i + at) for i, at in enumerate(offsets)]


def _constants(model: Table) -> dict[str, Tensor]:
    (graph,), buffers = model.tables(2), model.tables(4)
    constants: dict[str, Tensor] = {}
    for tensor in graph.tables(0):
        quantization, data = tensor.table(4), buffers[tensor.value(2, "I")].vector(0, "u1")
        scale = np.zeros(0) if quantization is None else quantization.vector(2, "<f4")
        if quantization is None or not len(scale) or not len(data):
            continue  # a result, or a constant of an operator
        name = tensor.vector(3, "u1").tobytes().decode(errors="replace").split(";")[0]
        (factor,), zero = scale.astype(np.float32), quantization.vector(3, "<i8").sum()
        numbers, shape = data.view(KINDS[tensor.value(1, "b")]), tensor.vector(0, "<i4").tolist()
        if len(numbers) != math.prod(shape):
            raise ValueError(f"{name} has {len(numbers)} numbers for the shape {shape}")
        values = (numbers.astype(np.float32) - np.float32(zero)) * factor
        constants[name] = torch.from_numpy(values.reshape(shape))
    return constants


def from_tflite(constants: dict[str, Tensor]) -> SourceFile:
    """DeepLabV3-MobileNetV2 as published for VOC, which saw images whose longer side was 513 pixels."""
    entries = []
    for name, values in constants.items():
        layer, kind = our_layer(name), "bias" if values.ndim == 1 else "weight"
        made = Entry({name: list(values.shape)}, None if layer is None else f"network.{layer}.{kind}", values)
        if values.ndim == 4:
            depthwise = layer is not None and layer.endswith("depthwise")
            order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)  # [1, h, w, C] or [O, h, w, I] -> [O, I, h, w]
            made.tensor = values.permute(order).contiguous()
        made.done.append("dequantized")
        entries.append(made)
    architecture = {"input_side": CANVAS}
    return SourceFile("TFLite", entries, DeepLabV3MobileNetV2.variant, architecture=architecture)


def our_layer(name: str) -> str | None:
    """Our name for a layer of the file; None where there is none."""
    if name.startswith("MobilenetV2/Conv/"):
        return "features.0.0"
    block = re.match(r"MobilenetV2/expanded_conv(?:_(\d+))?/(expand|depthwise|project)/", name)
    if block:
        return f"features.{int(block[1] or 0) + 1}.{block[2]}"
    return HEAD.get(name.split("/")[0])
