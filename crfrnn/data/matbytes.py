"""The bytes of one variable in a MATLAB file of version 5 to 7, checked: scipy crashes where they do not add up.

A file is a header of 128 bytes and elements. An element is a tag (its kind and its size in bytes, packed into four bytes
where the content has no more than four) and its content, padded to eight bytes. A matrix is an element that holds
elements: flags, dimensions, a name, and what its class wants.
"""

import math
import struct
import zlib
from typing import NamedTuple

HEADER = 128
LARGEST = 2**30
"""bytes of a variable after decompression; the masks of an image take a few million"""
DEEPEST = 20

# Kinds of elements, and classes of matrices, by their numbers in a file.
_BYTES, _WHOLE, _UNSIGNED, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_NUMBERS, _TEXT = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13}, {1, 2, 3, 4, 16, 17, 18}
_CELL, _STRUCT, _CHARACTERS, _SPARSE, _NUMERIC = 1, 2, 4, 5, range(6, 16)
_COMPLEX = 0x800


class _Element(NamedTuple):
    kind: int
    start: int
    size: int
    after: int


def variable_alone(content: bytes, name: str) -> bytes | None:
    """A MATLAB file of nothing but the variable `name` of another, not compressed; None where there is no such variable.

    Raises ValueError where `content` is not of version 5 to 7, or damaged up to the end of that variable.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[HEADER - 2 : HEADER])
    if order is None or struct.unpack_from(f"{order}H", content, HEADER - 4) != (0x100,):
        raise ValueError("it is not of version 5 to 7 of MATLAB")
    at = HEADER
    while at < len(content):
        outer = _Reader(content, order)
        element = outer.element(at)
        found = content[at : element.start + element.size]
        if element.kind == _COMPRESSED:
            found = _decompressed(content[element.start : element.start + element.size])
        matrix = _Reader(found, order)
        if matrix.name_of_matrix(0) == name.encode():
            matrix.check_matrix(0, DEEPEST)
            # The rest of the header says where scipy would look for functions and objects.
            return content[:116] + bytes(8) + content[HEADER - 4 : HEADER] + found
        at = element.start + element.size if element.kind == _COMPRESSED else element.after
    return None


def _decompressed(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed, LARGEST)
    if not unpacker.eof:
        raise ValueError(f"a compressed variable is cut short, or has more than {LARGEST} bytes")
    return content


class _Reader:
    def __init__(self, content: bytes, order: str) -> None:
        self._content, self._order = content, order

    def element(self, at: int, kinds: set[int] | None = None) -> _Element:
        """The element at an offset, one of these kinds."""
        if at + 8 > len(self._content):
            raise ValueError("it is cut short")
        kind, size = self._integers(at, 2)
        start = at + 8
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        after = at + 8 if start == at + 4 else start + size + -size % 8
        if start + size > min(after, len(self._content)) or (kinds is not None and kind not in kinds):
            raise ValueError(f"the element of kind {kind} and {size} bytes at byte {at} does not fit there")
        return _Element(kind, start, size, after)

    def name_of_matrix(self, at: int) -> bytes:
        flags = self.element(self.element(at, {_MATRIX}).start, {_UNSIGNED})
        name = self.element(self.element(flags.after, {_WHOLE}).after, {_BYTES})
        return self._content[name.start : name.start + name.size]

    def check_matrix(self, at: int, depth: int) -> int:
        """Raise ValueError where a matrix does not hold what its class wants; returns where it ends."""
        matrix = self.element(at, {_MATRIX})
        if not matrix.size:
            return matrix.after
        flags = self.element(matrix.start, {_UNSIGNED})
        sides = self.element(flags.after, {_WHOLE})
        name = self.element(sides.after, {_BYTES})
        if flags.size != 8 or sides.size % 4 or not 8 <= sides.size <= 128 or depth == 0:
            raise ValueError(f"the matrix at byte {at} has no flags, no dimensions, or is nested too deeply")
        flag, count = self._integers(flags.start, 1)[0], math.prod(self._integers(sides.start, sides.size // 4))
        end = self._check_content(name.after, flag & 0xFF, bool(flag & _COMPLEX), count, depth)
        if end != matrix.after:
            raise ValueError(f"the matrix at byte {at} ends at byte {matrix.after}, what it holds at byte {end}")
        return end

    def _check_content(self, at: int, kind: int, is_complex: bool, count: int, depth: int) -> int:
        if kind in (_CELL, _STRUCT):
            if kind == _STRUCT:
                at, fields = self._fields(at)
                count *= fields
            if count > len(self._content) // 8:
                raise ValueError(f"{count} matrices, more than fit into the file, are to follow at byte {at}")
            for _ in range(count):
                at = self.check_matrix(at, depth - 1)
            return at
        if kind not in (_CHARACTERS, _SPARSE, *_NUMERIC):
            raise ValueError(f"there is a matrix of class {kind}, such as an object or a function")
        for _ in range((3 if kind == _SPARSE else 1) + is_complex):
            element = self.element(at, _TEXT if kind == _CHARACTERS else _NUMBERS)
            if kind != _SPARSE and element.size < count:
                raise ValueError(f"{count} values do not fit into the {element.size} bytes at byte {at}")
            at = element.after
        return at

    def _fields(self, at: int) -> tuple[int, int]:
        """Where the names of the fields of a struct end, and how many they are."""
        length = self.element(at, {_WHOLE})
        names = self.element(length.after, {_BYTES})
        bytes_each = self._integers(length.start, 1)[0]
        if length.size != 4 or not bytes_each or names.size % bytes_each:
            raise ValueError(f"the names of fields at byte {at} are not of one length")
        return names.after, names.size // bytes_each

    def _integers(self, at: int, count: int) -> tuple[int, ...]:
        return struct.unpack_from(f"{self._order}{count}I", self._content, at)
