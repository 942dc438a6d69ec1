"""Refine a network's stored scores over a whole set with our CRF and with pydensecrf2: mean IoU, labels, time.

python -m eval.bench.whole_set --unaries SCORES.npz --data VOCdevkit --out FILE.json       (pip install -e '.[bench]')

Every image goes through pydensecrf2, `CRFRNN`, and `CRFRNN` with `min_belief`, with `message_tolerance` and with both
in turn, from building the lattices to the beliefs, with symmetric normalization and T = 10. eval/inputs/scores_file.py
describes the file of scores. Only ratios of times within one run mean something.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from crfrnn._command import description, exit_code, exit_with
from crfrnn.folders import Folders
from eval.scoring.tables import Table, TableFile, check_table, write_tables


@dataclass(frozen=True)
class Options:
    unaries: Path
    """scores of a network, .npz"""
    data: Path | None = None
    """folder of the data set (VOCdevkit, or MSRC-21), or the folders.json of a run"""
    folders: Annotated[Folders, tyro.conf.arg(name="")] = field(default_factory=Folders)
    split: Annotated[str, tyro.conf.arg(name="list")] = "val"
    """list of images: a name in ImageSets/Segmentation, or a file; in folders, train, val or all"""
    limit: int | None = None
    """stop after this many images"""
    min_belief: float = 1e-3
    """see CRFRNN"""
    message_tolerance: float = 0.01
    """see CRFRNN"""
    threads: int | None = None
    """threads for our side; by default as torch chooses"""
    out: Path | None = None
    """JSON file for the figures"""
    table: TableFile = None


def table(rows: dict[str, dict[str, float]]) -> Table:
    """The figures of one CRF."""
    header = [
        "",
        "mean IoU,\npercent",
        "seconds\nper image",
        "times faster\n(mean)",
        "equal labels, %\n(mean)",
        "equal labels, %\n(least)",
        "max |dQ|",
    ]
    lines = []
    for name, row in rows.items():
        line = [name, f"{row['mean IoU']:.2f}"]
        if len(row) > 1:
            line += [
                f"{row['seconds per image']:.3f}", f"{row['mean ratio']:.2f}", f"{100 * row['equal labels']:.4f}",
                f"{100 * row['least equal labels']:.3f}", f"{row['largest difference of beliefs']:.1e}",
            ]  # fmt: skip
        lines.append(line + ["-"] * (len(header) - len(line)))
    return Table(header, lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = tyro.cli(Options, args=argv, prog="python -m eval.bench.whole_set", description=description(__doc__))
    return exit_code("eval.bench.whole_set", lambda: run(options, argv))


def run(options: Options, argv: Sequence[str]) -> int:
    """Measure, print the tables, write the file after each CRF. Raises OSError or ValueError for unusable files."""
    import torch

    from crfrnn.data import open_set, source_of
    from eval.bench.whole_set_measures import CRFS, compare, facts, title
    from eval.inputs.flags import check_counts, check_json, check_min_belief, check_not_negative
    from eval.scoring.record import origin, write_json

    check_table(options.table)
    check_counts(1, limit=options.limit, threads=options.threads)
    check_not_negative(message_tolerance=options.message_tolerance)
    check_json("--out", options.out)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    dataset = open_set(source_of(options.data, options.folders), options.split)
    check_min_belief(options.min_belief, len(dataset.classes))
    results: dict[str, Any] = {}
    tables: dict[str, Table] = {}
    for crf in CRFS:
        limits = (options.min_belief, options.message_tolerance)
        rows = facts(compare(crf, dataset, options.unaries, *limits, options.limit))
        results[title(crf)] = rows
        settings = f"{title(crf)}, {crf.normalization}, T = {crf.num_iterations}, min_belief {options.min_belief:g}, "
        settings += f"message_tolerance {options.message_tolerance:g}"
        tables[title(crf)] = table(rows)
        print(f"\n{settings}\n\n{tables[title(crf)]}\n")
        write_tables(options.table, tables)
        if options.out is not None:
            write_json(options.out, origin("eval.bench.whole_set", argv) | {"results": results})
    return 0


if __name__ == "__main__":
    exit_with(main)
