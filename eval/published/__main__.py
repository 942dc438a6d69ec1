"""Print published numbers next to our own.

python -m eval.published voc2012_val --scores runs/small/scores.json
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from crfrnn._command import description, exit_code, exit_with
from eval.published import rows
from eval.scoring.tables import Table, TableFile, check_table, write_tables

QUOTED, MEASURED = "quoted", "measured"
TRIMAP = "voc2012_trimap_"


@dataclass(frozen=True)
class Options:
    table: Annotated[str, tyro.conf.Positional]
    """voc2012_val, voc2012_test, voc2012_trimap_mean_iou (or _pixel_accuracy, _class_accuracy), or msrc21"""
    scores: tuple[Path, ...] = ()
    """scores.json of our own runs; for a table of trimaps, of eval.run --borders"""
    file: Annotated[TableFile, tyro.conf.arg(name="table")] = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = tyro.cli(Options, args=argv, prog="python -m eval.published", description=description(__doc__))
    return exit_code("eval.published", lambda: run(options))


def run(options: Options) -> int:
    """Print the table. Raises OSError or ValueError for unknown tables and files that hold no scores."""
    check_table(options.file)
    published = rows(options.table)
    measures = [name for name in published[0] if name not in ("method", "source")]
    lines = [[row["method"], QUOTED, *(row[name] or "-" for name in measures), row["source"]] for row in published]
    lines += [line for path in options.scores for line in ours(path, options.table, measures)]
    found = Table(["percent", "origin", *(name.replace("_", "\n") for name in measures), "source"], lines)
    print(found)
    write_tables(options.file, {options.table: found})
    return 0


def ours(path: Path, table: str, measures: Sequence[str]) -> list[list[str]]:
    """The rows of a scores.json. Raises ValueError where it is not one, or lacks the bands of a table of trimaps."""
    from crfrnn._files import read_json

    content = read_json(path)
    try:
        source = f"{path}, {content['images']} images"
        scores = band_scores(content["borders"], table) if table.startswith(TRIMAP) else content["scores"]
        lines = {name: [cell(score, measure) for measure in measures] for name, score in scores.items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{path} holds no scores ({error!r}); wanted the scores.json of a run"
            + (" of eval.run with --borders" if table.startswith(TRIMAP) else "")
        ) from error
    return [[name, MEASURED, *cells, source] for name, cells in lines.items()]


def band_scores(borders: dict, table: str) -> dict[str, dict[str, float]]:
    """One measure of every row by the half width of the band, as the columns of the table call them."""
    columns = [f"{width} px" for width in borders["half_widths"]]
    curves = {row: scores[table.removeprefix(TRIMAP)] for row, scores in borders["bands"].items()}
    return {row: dict(zip(columns, curve, strict=True)) for row, curve in curves.items()}


def cell(score: dict, measure: str) -> str:
    """A measure, or the IoU of a class of that name; "-" where it is not there."""
    value = score.get(measure, score.get("iou", {}).get(measure))
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    exit_with(main)
