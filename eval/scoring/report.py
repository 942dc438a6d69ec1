"""Scores as tables to read and as a JSON file to compute with."""

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crfrnn._files import replacing
from eval.scoring.counts import ImageCounts, counts_path
from eval.scoring.differences import Differences, difference_tables, difference_text
from eval.scoring.metrics import Scores
from eval.scoring.tables import Table

JSON_NAME, TEXT_NAME = "scores.json", "scores.txt"


def report(scores: Mapping[str, Scores], subset: Sequence[str] = (), compared: Sequence[Differences] = ()) -> str:
    """A table with a line per row of `scores`, those of `compared`, and one with a line per class.

    `subset` gets a column for its mean.
    """
    between = [difference_text(compared)] if compared else []
    return "\n\n".join([str(summary_table(scores, subset)), *between, str(class_table(scores))])


def report_tables(
    scores: Mapping[str, Scores], subset: Sequence[str] = (), compared: Sequence[Differences] = ()
) -> dict[str, Table]:
    """The tables of `report` by their names in files."""
    return {"summary": summary_table(scores, subset), **difference_tables(compared), "classes": class_table(scores)}


def summary_table(scores: Mapping[str, Scores], subset: Sequence[str] = ()) -> Table:
    """Mean IoU, that over `subset` where one is given, accuracies and frequency-weighted IoU of every row, in percent.

    Each mean is followed by the number of classes that it is over, as absent classes cannot take part.
    """
    subset_title = [f"mean IoU\nof {len(subset)}"] if subset else []
    header = [
        "percent",
        "mean\nIoU",
        "over\nclasses",
        *subset_title,
        "pixel\naccuracy",
        "class\naccuracy",
        "weighted\nIoU",
    ]
    rows = []
    for name, row in scores.items():
        mean_of_subset = [_mean_of_subset(row, subset)] if subset else []
        over = f"{len(row.present)} of {len(row.iou)}"
        accuracies = [_number(value) for value in (row.pixel_accuracy, row.class_accuracy, row.weighted_iou)]
        rows.append([name, _number(row.mean_iou), over, *mean_of_subset, *accuracies])
    return Table(header, rows)


def class_table(scores: Mapping[str, Scores]) -> Table:
    """IoU of every class under every row, in percent; "-" where truth and prediction lack the class."""
    header = ["IoU, percent", *map(_heading, scores)]
    classes = list(next(iter(scores.values())).iou)
    rows = [[name, *(_number(row.iou[name]) for row in scores.values())] for name in classes]
    return Table(header, rows)


def _heading(name: str) -> str:
    """A name in lines of a column: broken after commas, and at other spaces where a line would be long."""
    parts = name.replace(", ", ",\n").split("\n")
    return "\n".join(textwrap.fill(part, 12, break_long_words=False, break_on_hyphens=False) for part in parts)


def save_report(
    folder: Path,
    scores: Mapping[str, Scores],
    subset: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
    counts: ImageCounts | None = None,
    compared: Sequence[Differences] = (),
) -> None:
    """Write the tables as scores.txt, and the `facts` of how they were made with all numbers as scores.json.

    The counts of single images go beside it, to be compared with those of other records.
    """
    content: dict[str, Any] = {**(facts or {}), "unit": "percent"}
    content["scores"] = {name: _plain(row, subset) for name, row in scores.items()}
    if compared:
        content["differences"] = [each.plain() for each in compared]
    numbers = json.dumps(content, indent=2, allow_nan=False)
    folder.mkdir(parents=True, exist_ok=True)
    if counts is not None:
        counts.write(folder / JSON_NAME)
    else:  # those of an earlier record would be taken for this one's
        counts_path(folder / JSON_NAME).unlink(missing_ok=True)
    for name, text in ((TEXT_NAME, report(scores, subset, compared)), (JSON_NAME, numbers)):
        with replacing(folder / name) as partial:
            partial.write_text(text + "\n", encoding="utf-8")


def _plain(row: Scores, subset: Sequence[str]) -> dict[str, Any]:
    plain: dict[str, Any] = {"mean_iou": row.mean_iou, "classes_in_mean": len(row.present)}
    if subset:
        plain["subset_mean_iou"] = _or_none(row.mean_over(subset))
        plain["classes_in_subset_mean"] = _count(row, subset)
    return plain | {
        "pixel_accuracy": row.pixel_accuracy,
        "class_accuracy": row.class_accuracy,
        "weighted_iou": row.weighted_iou,
        "iou": {name: _or_none(value) for name, value in row.iou.items()},
    }


def _mean_of_subset(row: Scores, subset: Sequence[str]) -> str:
    count = _count(row, subset)
    return _number(row.mean_over(subset)) + (f" ({count})" if count < len(set(subset)) else "")


def _count(row: Scores, subset: Sequence[str]) -> int:
    return len(set(subset) & set(row.present))


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value  # JSON has no NaN
