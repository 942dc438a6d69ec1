"""Published numbers, with ours beside them.

python -m eval.published voc2012_val --scores runs/small/scores.json
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from eval.command import exit_code
from eval.published import rows
from eval.tables import text_table

QUOTED, MEASURED = "quoted", "measured"


@dataclass(frozen=True)
class Options:
    table: Annotated[str, tyro.conf.Positional]
    """voc2012_val, voc2012_test or msrc21"""
    scores: tuple[Path, ...] = ()
    """scores.json of our own runs, on the same images or not: their numbers say"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = tyro.cli(Options, args=argv, prog="python -m eval.published", description=__doc__)
    return exit_code("eval.published", lambda: run(options))


def run(options: Options) -> int:
    """Print the table. Raises OSError or ValueError for unknown tables and files that hold no scores."""
    published = rows(options.table)
    measures = [name for name in published[0] if name not in ("method", "source")]
    lines = [[row["method"], QUOTED, *(row[name] for name in measures), row["source"]] for row in published]
    lines += [line for path in options.scores for line in ours(path, measures)]
    print(text_table(["", "", *(name.replace("_", "\n") for name in measures), "source"], lines))
    return 0


def ours(path: Path, measures: Sequence[str]) -> list[list[str]]:
    """The rows of a scores.json. Raises ValueError where it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        source = f"{path}, {content['images']} images"
        scores = content["scores"]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} holds no scores ({error!r}); wanted the scores.json of a run") from error
    return [[name, MEASURED, *(cell(score, measure) for measure in measures), source] for name, score in scores.items()]


def cell(score: dict, measure: str) -> str:
    """A measure, or the IoU of a class of that name; "-" where it is not there."""
    value = score.get(measure, score["iou"].get(measure))
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
