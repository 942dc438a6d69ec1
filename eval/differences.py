"""Records of scores side by side: what every row has over another, with intervals over images and over seeds.

python -m eval.differences runs/seed* --reference "control + dense CRF"              rows of the same records
python -m eval.differences new/seed* --rows "CRF-RNN, T = 10" --over old/seed* --reference "CRF-RNN, T = 10"

A RECORD is the JSON file of train.run, eval.run, eval.compare or eval.tuning.table, a cell of eval.tuning.ablate, or a
folder with a scores.json. Its counts of single images lie beside it, and all records are of the same images. Several records
are runs of one system that differ in their seed; as many of both sides are paired in the order given. With --out it writes
OUT.json and OUT.txt.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crfrnn._command import exit_code, exit_with
from eval.scoring.tables import add_table_flag, check_table, write_tables

if TYPE_CHECKING:  # what is slow to import waits until the options are parsed
    from eval.scoring.counts import ImageCounts
    from eval.scoring.differences import Differences


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 2 for bad input."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="python -m eval.differences", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "records", type=Path, nargs="+", metavar="RECORD", help="the runs of the rows that are compared"
    )
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="which rows of these; all by default")
    parser.add_argument("--reference", metavar="ROW", help="the row that they are compared with; by default the first")
    parser.add_argument(
        "--over", type=Path, nargs="+", metavar="RECORD", help="the runs that hold this row; by default the same"
    )
    parser.add_argument("--subset", nargs="+", default=[], metavar="CLASS", help="columns more: mean IoU over these")
    parser.add_argument("--out", type=Path, help="where to write, without an ending")
    add_table_flag(parser)
    return exit_code("eval.differences", lambda: run(parser.parse_args(argv), argv))


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Compare, print and write. Raises OSError or ValueError where that cannot be done."""
    from crfrnn._files import replacing
    from eval.inputs.flags import check_folder
    from eval.scoring.differences import difference_tables, difference_text
    from eval.scoring.record import origin, write_json

    check_table(options.table)
    if options.out is not None:
        check_folder("the folder of --out", options.out.parent)
        if not options.out.name:
            raise ValueError("--out names no file; wanted a path without an ending, such as results/differences")
    compared = [compare(options.records, options.rows, options.over, options.reference, options.subset)]
    text = difference_text(compared)
    print(text)
    write_tables(options.table, difference_tables(compared))
    if options.out is not None:
        write_json(
            options.out.with_name(f"{options.out.name}.json"), origin("eval.differences", argv) | compared[0].plain()
        )
        with replacing(options.out.with_name(f"{options.out.name}.txt")) as partial:
            partial.write_text(f"{text}\n", encoding="utf-8")
    return 0


def compare(
    records: Sequence[Path],
    rows: Sequence[str] | None,
    over: Sequence[Path] | None,
    reference: str | None,
    subset: Sequence[str],
) -> "Differences":
    """The differences between `rows` of the records and the row `reference` of those `over` which they are compared.

    Raises FileNotFoundError or ValueError where a record, its counts or a row is missing, and as `differences`.
    """
    from eval.scoring.differences import differences

    ours = read(records)
    theirs = ours if over is None else read(over)
    reference = reference or theirs[0][1].rows[0]
    title = reference if over is None else f"{reference} of {', '.join(path.parent.name for path, _ in theirs)}"
    chosen = [row for row in rows or ours[0][1].rows if over is not None or row != reference]
    if not chosen:
        raise ValueError(f"there is no row beside {reference!r} to compare; wanted another in --rows, or --over RECORD")
    systems = {title: runs(theirs, reference)} | {row: runs(ours, row) for row in chosen}
    return differences(systems, title, subset)


def read(records: Sequence[Path]) -> list[tuple[Path, "ImageCounts"]]:
    """The files of the records and their counts. Raises ValueError where one comes twice, and as `ImageCounts.read`."""
    from eval.scoring.counts import ImageCounts
    from eval.scoring.report import JSON_NAME

    paths = [path / JSON_NAME if path.is_dir() else path for path in records]
    twice = [path for path in paths if [other.resolve() for other in paths].count(path.resolve()) > 1]
    if twice:
        raise ValueError(f"{twice[0]} is given twice; wanted every run once")
    return [(path, ImageCounts.read(path)) for path in paths]


def runs(found: Sequence[tuple[Path, "ImageCounts"]], row: str) -> list[tuple["ImageCounts", str]]:
    """The runs of a row. Raises ValueError where a record lacks it."""
    for path, counts in found:
        if row not in counts.rows:
            raise ValueError(f"{path} has no row {row!r}; its rows are {', '.join(map(repr, counts.rows))}")
    return [(counts, row) for _, counts in found]


if __name__ == "__main__":
    exit_with(main)
