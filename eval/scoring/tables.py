"""Tables as aligned text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crfrnn import Kernel


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """`header` and `rows` as lines of text: the first column flush left, the others flush right.

    Cells of the header may have several lines, and are aligned at the bottom. Raises ValueError where a row has
    another number of cells than the header.
    """
    ragged = [row for row in rows if len(row) != len(header)]
    if ragged:
        raise ValueError(f"the row {list(ragged[0])} has {len(ragged[0])} cells; wanted {len(header)} as in the header")
    cells = [cell.split("\n") for cell in header]
    height = max(map(len, cells))
    top = list(zip(*([""] * (height - len(cell)) + cell for cell in cells), strict=True))
    widths = [max(map(len, column)) for column in zip(*top, *rows, strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([*(_line(row, widths) for row in top), rule, *(_line(row, widths) for row in rows)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (f"{cells[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(cells[1:], widths[1:], strict=True)))
    return "  ".join([first, *others]).rstrip()


def kernel_name(kernel: "Kernel") -> str:
    """The name of a kernel in tables, after what it compares in addition to positions."""
    if kernel.neighbors is not None:
        return f"grid of {kernel.neighbors}"
    return {None: "smoothness", "image": "appearance"}.get(kernel.guide) or str(kernel.guide)
