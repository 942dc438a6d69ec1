"""Tables: as aligned text, as CSV and as LaTeX, and the flag --table of the commands that print one."""

import argparse
import csv
import io
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from crfrnn import Kernel

MISSING = "-"
SPECIAL = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{character: f"{{{character}}}" for character in "[*"},  # at the start of a row, \\ would take them for its own
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
}
HELP = (
    "also write the table into this file: as .csv, .tex (LaTeX, for the package booktabs) or .txt; where the command "
    "prints several tables, the first is in it and the others beside it, as NAME-WHAT.csv"
)
TableFile = Annotated[Path | None, tyro.conf.arg(help=HELP)]
"""The type of the option --table"""


@dataclass(frozen=True)
class Table:
    """A header and rows of cells; `str` gives aligned text.

    A cell of the header may have several lines, and a cell "-" stands for a number that is not there. Raises ValueError
    where a row has another number of cells than the header.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(
                    f"the row {list(row)} has {len(row)} cells; wanted {len(self.header)} as in the header"
                )

    def __str__(self) -> str:
        """Lines of text: the first column flush left, the others flush right."""
        top = self._lines_of_header()
        widths = [max(map(len, column)) for column in zip(*top, *self.rows, strict=True)]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([*(_line(row, widths) for row in top), rule, *(_line(row, widths) for row in self.rows)])

    def csv(self) -> str:
        """Comma-separated values under one line of header; missing numbers are empty cells."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([" ".join(cell.split()) for cell in self.header])
        writer.writerows(["" if cell == MISSING else cell for cell in row] for row in self.rows)
        return text.getvalue().removesuffix("\n")

    def latex(self) -> str:
        """A tabular with the rules of booktabs; missing numbers are dashes."""
        lines = [
            rf"\begin{{tabular}}{{l{'r' * (len(self.header) - 1)}}}",
            r"\toprule",
            *map(_latex_line, self._lines_of_header()),
            r"\midrule",
            *map(_latex_line, self.rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
        return "\n".join(lines)

    def _lines_of_header(self) -> list[tuple[str, ...]]:
        """The lines that the cells of the header need, aligned at the bottom."""
        cells = [cell.split("\n") for cell in self.header]
        height = max(map(len, cells))
        return list(zip(*([""] * (height - len(cell)) + cell for cell in cells), strict=True))


def mean_and_deviation(values: Sequence[float], digits: int = 1) -> str:
    """A value, or the mean and the standard deviation of several."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.fmean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


FORMATS = {".csv": Table.csv, ".tex": Table.latex, ".txt": Table.__str__}


def write_tables(path: Path | None, tables: Mapping[str, Table]) -> None:
    """Write the first table to `path`, and every other beside it under its name; nothing for None."""
    if path is None:
        return
    from crfrnn._files import replacing

    path.parent.mkdir(parents=True, exist_ok=True)
    for number, (name, table) in enumerate(tables.items()):
        file = path.with_stem(f"{path.stem}-{_plain(name)}") if number else path
        with replacing(file) as partial:
            partial.write_text(FORMATS[path.suffix](table) + "\n", encoding="utf-8")


def check_table(path: Path | None) -> None:
    """Raise ValueError where --table names no file that can be written, or one of another kind."""
    if path is None:
        return
    from eval.inputs.flags import check_folder

    if path.suffix not in FORMATS or path.is_dir():
        raise ValueError(f"--table is {str(path)!r}; wanted a file whose name ends in {' or '.join(FORMATS)}")
    check_folder("the folder of --table", path.parent)


def add_table_flag(parser: argparse.ArgumentParser) -> None:
    """The option --table for a command that reads its options with argparse."""
    parser.add_argument("--table", type=Path, metavar="FILE", help=HELP)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (f"{cells[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(cells[1:], widths[1:], strict=True)))
    return "  ".join([first, *others]).rstrip()


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex_cell, cells)) + r" \\"


def _latex_cell(cell: str) -> str:
    if cell == MISSING:
        return "--"
    text = "".join(SPECIAL.get(character, character) for character in cell)
    return re.sub(r"^-(?=\d)", "$-$", text)


def _plain(name: str) -> str:
    """A name as a part of a file's name."""
    return re.sub(r"\W+", "-", name).strip("-")


def kernel_name(kernel: "Kernel") -> str:
    """The name of a kernel in tables, after what it compares in addition to positions."""
    if kernel.neighbors is not None:
        return f"grid of {kernel.neighbors}"
    return {None: "smoothness", "image": "appearance"}.get(kernel.guide) or str(kernel.guide)
