"""The counts of a search, in a file that stays whole when the search is killed."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crfrnn.presets import FixedCRF
from eval.tuning.search_grid import numbers

FILE = "tried.sqlite"


class Store:
    """Confusion matrices by image and cell, in FOLDER/tried.sqlite.

    Raises ValueError where the folder holds those of other `settings`, and OSError where it cannot be written to.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE
        with self._usable():
            self._file = sqlite3.connect(self._path)
            self._prepare(folder, json.loads(json.dumps(settings)))
            rows = self._file.execute("SELECT image, cell, counts FROM tried")
            self._counts = {(image, cell): blob for image, cell, blob in rows}

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OSError(f"{self._path} cannot be used ({error}); pass another folder as --out") from error

    def _prepare(self, folder: Path, settings: Mapping[str, Any]) -> None:
        with self._file:
            self._file.execute("CREATE TABLE IF NOT EXISTS settings (content TEXT)")
            self._file.execute("CREATE TABLE IF NOT EXISTS tried (image TEXT, cell TEXT, counts BLOB)")
            row = self._file.execute("SELECT content FROM settings").fetchone()
            if row is None:
                self._file.execute("INSERT INTO settings VALUES (?)", [json.dumps(settings)])
                return
        found = json.loads(row[0])
        different = sorted(name for name in found | settings if found.get(name) != settings.get(name))
        if different:
            was = ", ".join(f"{name} {found.get(name)!r}" for name in different)
            raise ValueError(f"{folder} holds a search with {was}; pass another folder as --out, or the same settings")

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def has(self, image: str, cell: FixedCRF) -> bool:
        return (image, _key(cell)) in self._counts

    def get(self, image: str, cell: FixedCRF) -> Tensor:
        """Pixels by true and predicted label, int64 [L, L]."""
        flat = np.frombuffer(self._counts[image, _key(cell)], dtype=np.int64)
        size = round(len(flat) ** 0.5)
        return torch.from_numpy(flat.reshape(size, size).copy())

    def add(self, image: str, counts: Mapping[FixedCRF, Tensor]) -> None:
        """Keep the counts of an image, all or none of them."""
        blobs = {(image, _key(cell)): matrix.to(torch.int64).numpy().tobytes() for cell, matrix in counts.items()}
        with self._usable(), self._file:
            self._file.executemany("INSERT INTO tried VALUES (?, ?, ?)", [(*key, blob) for key, blob in blobs.items()])
        self._counts |= blobs


def _key(cell: FixedCRF) -> str:
    return json.dumps(numbers(cell))
