"""What came out of the runs of the weak table: a line per row, and what rows have over others, with intervals."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from crfrnn._files import read_json, replacing
from eval.scoring.bootstrap import Difference, paired_difference
from eval.scoring.counts import ImageCounts
from eval.scoring.differences import NOTE, OF_SEEDS, show, show_seeds
from eval.scoring.report import JSON_NAME
from eval.scoring.tables import MISSING, Table, mean_and_deviation, write_tables
from train.weak.commands import folder
from train.weak.rows import COMPARED, ROWS

if TYPE_CHECKING:
    from train.weak_table import Options

SCORES = {"network alone": "network", "network + dense CRF": "with CRF"}

Pair = tuple[str, str]
"""a row, and the one that it is compared with"""


def write_table(options: "Options") -> None:
    """Print and write the tables of the runs that have come to their end."""
    records = {row: found for row in options.rows if (found := read_records(options, row))}
    scores = score_table(records, options.subset)
    compared = differences(options, list(records))
    tables = {"table": scores, **({"differences": difference_table(compared)} if compared else {})}
    notes = textwrap.fill(f"{NOTE} {OF_SEEDS}", 120)
    text = "\n\n".join([*map(str, tables.values()), *([notes] if compared else [])])
    plain = [
        {"row": row, "over": other, **{score: each and asdict(each) for score, each in found.items()}}
        for (row, other), found in compared.items()
    ]
    content = json.dumps({"runs": records, "differences": plain}, indent=1)
    for file, written in (("table.txt", text), ("table.json", content)):
        with replacing(options.out / file) as partial:
            partial.write_text(f"{written}\n", encoding="utf-8")
    print(f"\n{text}\n\n{options.out / 'table.txt'}")
    write_tables(options.table, tables)


def read_records(options: "Options", row: str) -> dict[int, dict[str, Any]]:
    """The scores.json of the finished runs of a row, by seed."""
    files = {seed: folder(options, row, seed) / JSON_NAME for seed in options.seeds}
    return {seed: read_json(file) for seed, file in files.items() if file.exists()}


def score_table(records: Mapping[str, Mapping[int, dict[str, Any]]], subset: Sequence[str]) -> Table:
    """A line per row: mean IoU of network and CRF over all classes, and over `subset` where there is one."""
    header = ["percent"]
    for score in SCORES.values():
        header += [f"{score}\n21 classes", *([f"{score}\n{len(subset)} classes"] if subset else [])]
    rows = [
        [ROWS[row].title, *cells(list(runs.values()), subset), ROWS[row].published] for row, runs in records.items()
    ]
    return Table([*header, "published\nwith CRF"], rows)


def cells(runs: Sequence[dict[str, Any]], subset: Sequence[str]) -> list[str]:
    """The numbers of one row: mean and standard deviation over its runs."""
    found = []
    for name in SCORES:
        scores = [run["scores"][name] for run in runs]
        found.append(mean_and_deviation([score["mean_iou"] for score in scores]))
        present = [cls for cls in subset if scores[0]["iou"][cls] is not None]
        means = [sum(score["iou"][cls] or 0.0 for cls in present) / max(1, len(present)) for score in scores]
        if subset:
            found.append(mean_and_deviation(means) if present else MISSING)
    return found


def differences(options: "Options", rows: Sequence[str]) -> dict[Pair, dict[str, Difference | None]]:
    """The differences of the rows that are compared, by score, over the seeds that both have."""
    counts = {row: read_counts(options, row) for row in rows}
    pairs = [(row, reference) for reference, others in COMPARED.items() for row in others]
    found = {}
    for row, reference in pairs:
        seeds = sorted(counts.get(row, {}).keys() & counts.get(reference, {}).keys())
        if seeds:
            found[row, reference] = {
                score: paired_difference(
                    [counts[row][seed].areas(score) for seed in seeds],
                    [counts[reference][seed].areas(score) for seed in seeds],
                )
                for score in SCORES
            }
    return found


def read_counts(options: "Options", row: str) -> dict[int, ImageCounts]:
    """The counts of single images of the finished runs of a row, by seed."""
    files = {seed: folder(options, row, seed) / JSON_NAME for seed in options.seeds}
    return {seed: ImageCounts.read(file) for seed, file in files.items() if file.exists()}


def difference_table(compared: Mapping[Pair, Mapping[str, Difference | None]]) -> Table:
    """A line per pair of rows: points of mean IoU, with the interval over images, and over seeds."""
    header = ["points of mean IoU"]
    for score in SCORES.values():
        header += [score, f"{score}\nover seeds"]
    lines = []
    for (row, reference), found in compared.items():
        shown = [cell for each in found.values() for cell in (show(each), show_seeds(each))]
        lines.append([f"{ROWS[row].title} over {ROWS[reference].title}", *shown])
    return Table(header, lines)
