"""Caffe's files written byte by byte: the yardstick of the reader, from the field numbers alone."""

import struct

import numpy as np

CONVOLUTION = 4  # V1LayerParameter.LayerType


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def chunk(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def blob(values: np.ndarray, *, old: bool, double: bool = False) -> bytes:
    """BlobProto: the shape as four numbers or as a list, the values as floats or doubles; and a gradient, to be skipped."""
    if old:
        sizes = (1,) * (4 - values.ndim) + values.shape
        shape = b"".join(number(field, size) for field, size in enumerate(sizes, start=1))
    else:
        shape = chunk(7, chunk(1, b"".join(varint(size) for size in values.shape)))
    flat = values.ravel().tolist()
    data = chunk(8, struct.pack(f"<{len(flat)}d", *flat)) if double else chunk(5, struct.pack(f"<{len(flat)}f", *flat))
    return shape + data + chunk(6, struct.pack("<f", 1.0))


def old_layer(name: str, blobs: list[np.ndarray]) -> bytes:
    """V1LayerParameter {bottom 2, top 3, name 4, type 5, blobs 6, blobs_lr 7}."""
    content = chunk(2, b"data") + chunk(3, name.encode()) + chunk(4, name.encode()) + number(5, CONVOLUTION)
    content += b"".join(chunk(6, blob(each, old=True)) for each in blobs)
    return chunk(2, content + varint(7 << 3 | 5) + struct.pack("<f", 1.0))


def new_layer(name: str, blobs: list[np.ndarray], double: bool = False) -> bytes:
    """LayerParameter {name 1, type 2, bottom 3, top 4, blobs 7, phase 10}."""
    content = chunk(1, name.encode()) + chunk(2, b"Convolution") + chunk(3, b"data") + chunk(4, name.encode())
    return chunk(
        100, content + b"".join(chunk(7, blob(each, old=False, double=double)) for each in blobs) + number(10, 1)
    )


def net(layers: dict[str, list[np.ndarray]], *, old: bool) -> bytes:
    """NetParameter {name 1, layers 2 or layer 100}, with a layer without weights in front."""
    write = old_layer if old else new_layer
    return chunk(1, b"a net") + write("relu1_1", []) + b"".join(write(name, blobs) for name, blobs in layers.items())
