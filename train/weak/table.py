"""What came out of the runs of the weak table: a line per row, and what rows have over others, with intervals."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crfrnn._files import read_json, replacing
from eval.scoring.bootstrap import Difference, mean_iou, paired_difference
from eval.scoring.counts import ImageCounts
from eval.scoring.differences import NOTE, OF_SEEDS, show, show_seeds
from eval.scoring.report import JSON_NAME
from eval.scoring.tables import MISSING, Table, mean_and_deviation, write_tables
from train.weak.commands import folder
from train.weak.rows import COMPARED, ROWS

if TYPE_CHECKING:
    from train.weak_table import Options

SCORES = {"network alone": "network", "network + dense CRF": "with CRF"}

Counts = Mapping[int, ImageCounts]
"""Of the runs of a row, by seed."""
Compared = dict[tuple[str, str], dict[str, Difference | None]]
"""By row, and the one that it is compared with, the differences by score."""
Measures = Mapping[str, Sequence[str] | None]
"""The classes that a mean is over, by title; None for all."""


def write_table(options: "Options") -> None:
    """Print and write the tables of the runs that have come to their end. Raises ValueError where none has."""
    records = {row: found for row in options.rows if (found := read_records(options, row))}
    if not records:
        raise ValueError(f"--out {options.out} holds no run of these rows and seeds that has come to its end")
    counts = {
        row: {seed: ImageCounts.read(record_file(options, row, seed)) for seed in found}
        for row, found in records.items()
    }
    measures: Measures = {
        "all classes": None,
        **({f"{len(options.subset)} classes": options.subset} if options.subset else {}),
    }
    compared = {name: differences(counts, classes) for name, classes in measures.items()}
    tables = {"scores": score_table(counts, measures)}
    tables |= {f"differences, {name}": difference_table(name, found) for name, found in compared.items() if found}
    notes = [textwrap.fill(f"{NOTE} {OF_SEEDS}", 120)] if len(tables) > 1 else []
    text = "\n\n".join([*map(str, tables.values()), *notes])
    content = json.dumps(
        {"runs": records, "differences": {name: plain(found) for name, found in compared.items()}}, indent=1
    )
    for file, written in (("table.txt", text), ("table.json", content)):
        with replacing(options.out / file) as partial:
            partial.write_text(f"{written}\n", encoding="utf-8")
    print(f"\n{text}\n\n{options.out / 'table.txt'}")
    write_tables(options.table, tables)


def record_file(options: "Options", row: str, seed: int) -> Path:
    """The scores.json of a run."""
    return folder(options, row, seed) / JSON_NAME


def read_records(options: "Options", row: str) -> dict[int, dict[str, Any]]:
    """The scores.json of the finished runs of a row, by seed."""
    files = {seed: record_file(options, row, seed) for seed in options.seeds}
    return {seed: read_json(file) for seed, file in files.items() if file.exists()}


def score_table(counts: Mapping[str, Counts], measures: Measures) -> Table:
    """A line per row: mean IoU of network and CRF, mean and standard deviation over runs.

    The mean is over the classes that the truth holds, in every row the same.
    """
    header = ["mean IoU, percent", *(f"{title}\n{name}" for title in SCORES.values() for name in measures)]
    lines = []
    for row, runs in counts.items():
        cells = [
            over_runs([mean_iou(each.areas(score), classes) for each in runs.values()])
            for score in SCORES
            for classes in measures.values()
        ]
        lines.append([ROWS[row].title, *cells, ROWS[row].published])
    return Table([*header, "published\nwith CRF"], lines)


def over_runs(values: Sequence[float | None]) -> str:
    """Mean and standard deviation; `MISSING` where the truth holds none of the classes."""
    known = [value for value in values if value is not None]
    return mean_and_deviation(known) if known else MISSING


def differences(counts: Mapping[str, Counts], classes: Sequence[str] | None) -> Compared:
    """The differences of the rows that are compared, by score, over the seeds that both have."""
    pairs = [(row, reference) for reference, others in COMPARED.items() for row in others]
    found: Compared = {}
    for row, reference in pairs:
        seeds = sorted(counts.get(row, {}).keys() & counts.get(reference, {}).keys())
        if seeds:
            found[row, reference] = {
                score: paired_difference(
                    [counts[row][seed].areas(score) for seed in seeds],
                    [counts[reference][seed].areas(score) for seed in seeds],
                    classes,
                )
                for score in SCORES
            }
    return found


def difference_table(measure: str, compared: Compared) -> Table:
    """A line per pair of rows: points of mean IoU, with the interval over images, and over seeds."""
    header = [f"points of mean IoU,\n{measure}"]
    for score in SCORES.values():
        header += [score, "over\nseeds"]
    lines = []
    for (row, reference), found in compared.items():
        shown = [cell for each in found.values() for cell in (show(each), show_seeds(each))]
        lines.append([f"{ROWS[row].title} over {ROWS[reference].title}", *shown])
    return Table(header, lines)


def plain(compared: Compared) -> list[dict[str, Any]]:
    """For a JSON file."""
    return [
        {"row": row, "over": reference, **{score: each and asdict(each) for score, each in found.items()}}
        for (row, reference), found in compared.items()
    ]
