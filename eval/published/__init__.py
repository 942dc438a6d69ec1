"""Numbers of papers and of the VOC server, as published; none of them was measured by this project."""

import csv
from pathlib import Path

TABLES = tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.csv")))


def rows(table: str) -> list[dict[str, str]]:
    """The rows of a table: `method`, numbers by their names, scores in percent, "" for what is not known, and `source`.

    Raises ValueError where there is no such table.
    """
    if table not in TABLES:
        raise ValueError(f"there is no table {table!r}; the tables are {', '.join(TABLES)}")
    with (Path(__file__).parent / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
