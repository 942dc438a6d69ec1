"""Tables that commands wrote as CSV."""

import csv
from pathlib import Path


def cells(path: Path) -> list[list[str]]:
    """The cells of all rows, the header first."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))
