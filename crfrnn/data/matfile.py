"""Structs in MATLAB files, with errors that name the file and the field."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crfrnn.data.matbytes import variable_alone


class Struct:
    """One MATLAB struct; `where` names it in messages: file and field."""

    def __init__(self, content: Any, where: str) -> None:
        self._content = content
        self.where = where

    def array(self, field: str) -> NDArray[Any]:
        """The content of a field as it is. Raises ValueError where there is no such field."""
        names = self._content.dtype.names or ()
        if field not in names:
            raise ValueError(f"{self.where} has no field {field!r}, only {', '.join(names) or 'none'}")
        value = self._content[field]
        if not isinstance(value, np.ndarray):
            raise ValueError(f"{self.where}.{field} is a {type(value).__name__}; wanted a full array")
        return value

    def text(self, field: str) -> str:
        value = self.array(field)
        if value.dtype.kind != "U" or value.size != 1:
            raise ValueError(f"{self.where}.{field} is an array {list(value.shape)} of {value.dtype}; wanted text")
        return str(value.ravel()[0])

    def numbers(self, field: str) -> NDArray[np.int64]:
        """A field of whole numbers in one row."""
        value = self.array(field)
        if value.dtype.kind not in "uifb":
            raise ValueError(f"{self.where}.{field} holds {value.dtype}; wanted numbers")
        # Beyond 2^53 MATLAB's own numbers are not exact. NaN is within no limits.
        if not ((value > -(2**53)) & (value < 2**53) & (value == np.trunc(value))).all():
            raise ValueError(f"{self.where}.{field} holds NaN, fractions or numbers beyond 2^53; wanted whole numbers")
        return value.ravel().astype(np.int64)

    def texts(self, field: str) -> list[str]:
        """The text in each cell of a field."""
        cells = self.cells(field)
        for i, cell in enumerate(cells, 1):
            if cell.dtype.kind != "U" or cell.size != 1:
                raise ValueError(f"{self.where}.{field}({i}) is {list(cell.shape)} of {cell.dtype}; wanted text")
        return [str(cell.ravel()[0]) for cell in cells]

    def structs(self, field: str) -> list["Struct"]:
        """The structs of a field, which may be empty."""
        value = self.array(field)
        if value.size and value.dtype.names is None:
            raise ValueError(f"{self.where}.{field} holds {value.dtype}; wanted structs")
        return [Struct(each, f"{self.where}.{field}({i})") for i, each in enumerate(value.ravel(), 1)]

    def struct(self, field: str) -> "Struct":
        """The one struct of a field."""
        found = self.structs(field)
        if len(found) != 1:
            raise ValueError(f"{self.where}.{field} holds {len(found)} structs; wanted one")
        return Struct(found[0]._content, f"{self.where}.{field}")

    def cells(self, field: str) -> list[NDArray[Any]]:
        """What the cells of a field hold."""
        value = self.array(field)
        if value.dtype != object:
            raise ValueError(f"{self.where}.{field} holds {value.dtype}; wanted cells")
        for i, cell in enumerate(value.ravel(), 1):
            if not isinstance(cell, np.ndarray):
                raise ValueError(f"{self.where}.{field}({i}) is a {type(cell).__name__}; wanted a full array")
        return list(value.ravel())


def read_struct(path: Path, variable: str, extra: str) -> Struct:
    """The struct called `variable` in a MATLAB file; `extra` is the extra of the package that brings scipy for this.

    Raises FileNotFoundError where there is no such file, ValueError where it is damaged or holds something else, and
    ImportError without scipy.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(f"reading .mat files needs scipy: pip install 'crfrnn[{extra}]'") from error
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        alone = variable_alone(path.read_bytes(), variable)
        value = None if alone is None else loadmat(io.BytesIO(alone)).get(variable)
    except Exception as error:  # scipy's parser lets out whatever it trips over, from zlib.error to MemoryError
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}); wanted a complete MATLAB file of version 5 to 7, so "
            "fetch this file again"
        ) from error
    if value is None or value.dtype.names is None or value.size != 1:
        raise ValueError(f"{path} holds no struct {variable!r}; wanted the annotation as it was released")
    return Struct(value.ravel()[0], f"{path}: {variable}")
