"""TFLite files written byte by byte: the yardstick of the reader, from the field numbers of the schema alone."""

import struct
from typing import Any

import numpy as np

CODES = {"int32": 2, "uint8": 3, "int8": 9}

# Fields of a table by number: bytes that lie in it, or one of these, which lie elsewhere and are pointed to.
Fields = dict[int, Any]


class Vector(bytes):
    """Numbers; the length in front of them counts items of `size` bytes."""

    size = 1


def vector(values: Any, kind: str) -> Vector:
    made = Vector(np.asarray(values, kind).tobytes())
    made.size = np.dtype(kind).itemsize
    return made


def write(out: bytearray, fields: Fields) -> int:
    """Append a table with all it points to; returns where it begins."""
    count, inside = max(fields, default=-1) + 1, 4
    offsets = dict.fromkeys(range(count), 0)
    for number, value in fields.items():
        offsets[number] = inside
        inside += len(value) if type(value) is bytes else 4
    out += struct.pack(f"<HH{count}H", 4 + 2 * count, inside, *offsets.values())
    start = len(out)
    out += struct.pack("<i", 4 + 2 * count) + bytes(inside - 4)
    for number, value in fields.items():
        place = start + offsets[number]
        if type(value) is bytes:
            out[place : place + len(value)] = value
            continue
        target = write(out, value) if isinstance(value, dict) else append(out, value)
        out[place : place + 4] = struct.pack("<I", target - place)
    return start


def append(out: bytearray, value: Vector | list[Fields]) -> int:
    """Append a vector of numbers or of tables."""
    start = len(out)
    if isinstance(value, Vector):
        out += struct.pack("<I", len(value) // value.size) + value
        return start
    out += struct.pack("<I", len(value)) + bytes(4 * len(value))
    for i, fields in enumerate(value):
        place = start + 4 + 4 * i
        out[place : place + 4] = struct.pack("<I", write(out, fields) - place)
    return start


def constant(name: str, values: np.ndarray, scale: float, zero: int, buffer: int) -> Fields:
    """Tensor {shape 0, type 1, buffer 2, name 3, quantization 4 {scale 2, zero_point 3}}."""
    return {
        0: vector(values.shape, "<i4"),
        1: struct.pack("<b", CODES[str(values.dtype)]),
        2: struct.pack("<I", buffer),
        3: vector(list(name.encode()), "u1"),
        4: {2: vector([scale], "<f4"), 3: vector([zero], "<i8")},
    }


def model(constants: dict[str, tuple[np.ndarray, float, int]]) -> bytes:
    """Model {version 0, subgraphs 2 {tensors 0}, buffers 4 {data 0}}, with a result and an unquantized constant in front."""
    image = {0: vector([1, 9, 9, 3], "<i4"), 1: b"\x03", 3: vector(list(b"image"), "u1"), 4: {2: vector([0.5], "<f4")}}
    size = {0: vector([2], "<i4"), 1: b"\x02", 2: struct.pack("<I", 1), 3: vector(list(b"size"), "u1")}
    tensors, buffers = [image, size], [{}, {0: vector([9, 9], "<i4")}]
    for name, (values, scale, zero) in constants.items():
        tensors.append(constant(name, values, scale, zero, len(buffers)))
        buffers.append({0: vector(list(values.tobytes()), "u1")})
    out = bytearray(4) + b"TFL3"
    start = write(out, {0: struct.pack("<i", 3), 2: [{0: tensors}], 4: buffers})
    out[:4] = struct.pack("<I", start)
    return bytes(out)
