"""Refine a network's stored scores over a whole set with our CRF and with pydensecrf2: mean IoU, labels, time.

python -m eval.bench.whole_set --unaries SCORES.npz --data VOCdevkit --out FILE.json       (pip install -e '.[bench]')

Every image goes through pydensecrf2, `CRFRNN` and `CRFRNN(..., min_belief=...)` in turn, from building the lattices to the
beliefs, with symmetric normalization and T = 10. eval/inputs/scores_file.py describes the file of scores. Only ratios of
times within one run mean something.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crfrnn._command import exit_code, exit_with
from eval.scoring.tables import Table, add_table_flag, check_table, write_tables


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
    parser = argparse.ArgumentParser(
        prog="python -m eval.bench.whole_set",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--unaries", type=Path, required=True, help="scores of a network, .npz")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set (VOCdevkit)")
    parser.add_argument("--list", default="val", help="list of images (default: val)")
    parser.add_argument("--images", type=int, help="use only the first IMAGES images (default: all)")
    parser.add_argument("--min-belief", type=float, default=1e-3, help="see CRFRNN (default: 1e-3)")
    parser.add_argument("--threads", type=int, help="threads for our side (default: as torch chooses)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    add_table_flag(parser)
    options = parser.parse_args(argv)
    return exit_code("eval.bench.whole_set", lambda: run(options, argv))


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Measure, print the tables, write the file after each CRF. Raises OSError or ValueError for unusable files."""
    import torch

    from crfrnn.data import VOCSegmentation
    from eval.bench.whole_set_measures import CRFS, compare, facts, title
    from eval.inputs.flags import check_counts, check_json, check_min_belief
    from eval.scoring.record import origin, write_json

    check_table(options.table)
    check_counts(1, images=options.images, threads=options.threads)
    check_json("--out", options.out)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    dataset = VOCSegmentation(options.data, options.list)
    check_min_belief(options.min_belief, len(dataset.classes))
    results: dict[str, Any] = {}
    tables: dict[str, Table] = {}
    for crf in CRFS:
        rows = facts(compare(crf, dataset, options.unaries, options.min_belief, options.images))
        results[title(crf)] = rows
        settings = f"{title(crf)}, {crf.normalization}, T = {crf.num_iterations}, min_belief {options.min_belief:g}"
        tables[title(crf)] = table(rows)
        print(f"\n{settings}\n\n{tables[title(crf)]}\n")
        write_tables(options.table, tables)
        if options.out is not None:
            write_json(options.out, origin("eval.bench.whole_set", argv) | {"results": results})
    return 0


if __name__ == "__main__":
    exit_with(main)
