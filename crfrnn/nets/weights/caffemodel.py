"""Reading `.caffemodel` files without Caffe.

A file is one protocol-buffer message, NetParameter. Only the fields that hold weights are described here, at run time, so
that there is no generated code; protobuf skips all others. Packed numbers
have the wire format of bytes and are read as bytes, since protobuf would make a Python object of each number.

    NetParameter       2 layers (V1LayerParameter), until 2014    100 layer (LayerParameter), since
    V1LayerParameter   4 name                                     6 blobs
    LayerParameter     1 name                                     7 blobs
    BlobProto          1 num, 2 channels, 3 height, 4 width, until 2014; 7 shape, since
                       5 data (float)                             8 double_data
"""

import math
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

_FIELD = descriptor_pb2.FieldDescriptorProto
_BYTES, _INT64 = _FIELD.TYPE_BYTES, _FIELD.TYPE_INT64

# Message -> (field, number, repeated, type: a number type or the name of a message).
_SCHEMA: dict[str, tuple[tuple[str, int, bool, Any], ...]] = {
    "Shape": (("dim", 1, True, _INT64),),
    "Blob": (
        *((name, number, False, _INT64) for number, name in enumerate(("num", "channels", "height", "width"), start=1)),
        ("data", 5, True, _BYTES),
        ("shape", 7, False, "Shape"),
        ("double_data", 8, True, _BYTES),
    ),
    "LayerV1": (("name", 4, False, _BYTES), ("blobs", 6, True, "Blob")),
    "Layer": (("name", 1, False, _BYTES), ("blobs", 7, True, "Blob")),
    "Net": (("layers", 2, True, "LayerV1"), ("layer", 100, True, "Layer")),
}


def read_caffemodel(path: str | os.PathLike) -> dict[str, list[torch.Tensor]]:
    """The blobs of every layer that has any, float32, by the name of the layer and in the order of the file.

    Shapes are those of the file: [O, C, k, k] for weights of convolutions, and in files from before 2014 always of four
    numbers: [1, 1, 1, O] for biases, [1, 1, O, C] for inner products. At its peak it takes three times the size of the file.

    Raises FileNotFoundError where there is no file, ValueError where it is damaged, cut short or something else.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no Caffe model at {os.fspath(path)!r}")
    net = _net_message()()
    try:
        net.ParseFromString(Path(path).read_bytes())
    except DecodeError as error:
        raise ValueError(
            f"{os.fspath(path)!r} cannot be read as a .caffemodel: it is cut short, damaged or something else; "
            "download it again"
        ) from error
    layers: dict[str, list[torch.Tensor]] = {}
    for layer in (*net.layers, *net.layer):
        if layer.blobs:
            name = layer.name.decode(errors="replace")
            if name in layers:
                raise ValueError(f"{os.fspath(path)!r} has two layers called {name!r}; wanted one of each name")
            layers[name] = [
                _tensor(blob, f"blob {i} of layer {name!r} in {os.fspath(path)!r}")
                for i, blob in enumerate(layer.blobs)
            ]
    if not layers:
        raise ValueError(f"{os.fspath(path)!r} holds no layer with weights; wanted a .caffemodel of a trained network")
    return layers


def _tensor(blob: Any, what: str) -> torch.Tensor:
    if blob.HasField("shape"):
        shape = tuple(blob.shape.dim)
    else:
        older = ("num", "channels", "height", "width")
        shape = tuple(getattr(blob, name) for name in older) if any(blob.HasField(name) for name in older) else ()
    raw, kind = (b"".join(blob.data), "<f4") if blob.data else (b"".join(blob.double_data), "<f8")
    wanted = math.prod(shape) * np.dtype(kind).itemsize
    if not raw or any(size < 1 for size in shape) or len(raw) != wanted:
        raise ValueError(
            f"{what} has shape {list(shape)} but {len(raw)} bytes of numbers, not {wanted}; the file is damaged"
        )
    values = np.frombuffer(raw, kind).reshape(shape)
    return torch.from_numpy(values.astype(np.float32))


@lru_cache(maxsize=1)
def _net_message() -> type[Message]:
    file = descriptor_pb2.FileDescriptorProto(name="crfrnn/caffemodel.proto", package="crfrnn.caffe", syntax="proto2")
    for message, fields in _SCHEMA.items():
        described = file.message_type.add(name=message)
        for name, number, repeated, kind in fields:
            label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            field = described.field.add(name=name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{file.package}.{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.Net"))
