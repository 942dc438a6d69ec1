"""Compare crfrnn.densecrf with pydensecrf2 on a photograph: every normalization, kernel type and kind of compat.

python -m eval.bench.parity --image PHOTO.jpg --out eval/results/parity_densecrf.json    (pip install -e '.[bench]')

Both modules run the same lines, with Gaussian sxy 3 and bilateral (80, 13) or (160, 3). Beliefs must agree within 1e-3
everywhere, labels at 99.9 % of the pixels, and so must the helper functions, KL divergences and single steps; otherwise the
exit code is 1.

Without normalization a pixel receives the sum over all its neighbors, hundreds of times the mean, so the weights are a
hundredth there: with terms of thousands, float32 rounding alone moves beliefs by more than 1e-3 in either module.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crfrnn._command import exit_code, exit_with
from eval.scoring.tables import Table, add_table_flag, check_table, write_tables


def tables(grid: Sequence[dict[str, Any]], rest: Sequence[dict[str, Any]]) -> dict[str, Table]:
    """The grid, with the worst kernel type in each row, and the rest."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in grid:
        groups.setdefault((row["thetas"], row["normalization"], row["compat"]), []).append(row)
    lines = [
        [
            f"({thetas[0]:g}, {thetas[1]:g})",
            normalization,
            kind,
            f"{max(row['max difference'] for row in rows):.1e}",
            f"{100 * min(row['equal labels'] for row in rows):.3f}",
            _met(rows),
        ]
        for (thetas, normalization, kind), rows in groups.items()
    ]
    header = ["(sxy, srgb)", "normalization", "compat", "max |dQ|", "equal labels, %", "met"]
    others = [
        [row["what"], "other shape" if row["max difference"] is None else f"{row['max difference']:.1e}", _met([row])]
        for row in rest
    ]
    return {"grid": Table(header, lines), "others": Table(["function", "max difference", "met"], others)}


def _met(rows: Sequence[dict[str, Any]]) -> str:
    return "yes" if all(row["met"] for row in rows) else "NO"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="python -m eval.bench.parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--image", type=Path, help="a photograph (default: a drawn scene)")
    parser.add_argument("--labels", type=int, default=21, help="number of labels (default: 21)")
    parser.add_argument("--iterations", type=int, default=5, help="mean-field iterations (default: 5)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    add_table_flag(parser)
    options = parser.parse_args(argv)
    return exit_code("eval.bench.parity", lambda: run(options, argv))


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Compare, print the tables, write the file; returns 1 if a target is missed."""
    from einops import rearrange

    import crfrnn.densecrf
    from eval.bench.parity_measures import LEAST_AGREEMENT, MAX_DIFFERENCE, compare_grid, compare_rest
    from eval.bench.task import guide_image, synthetic_unary
    from eval.inputs.flags import check_counts, check_json
    from eval.scoring.record import origin, write_json

    check_table(options.table)
    check_counts(2, labels=options.labels)
    check_counts(1, iterations=options.iterations)
    check_json("--out", options.out)
    try:
        import pydensecrf.densecrf
    except ImportError as error:
        raise ValueError(f"pydensecrf2 cannot be imported ({error}); pip install -e '.[bench]'") from error
    image = rearrange(guide_image(options.image)[0].byte().numpy(), "c h w -> h w c").copy()
    height, width = image.shape[:2]
    unary = synthetic_unary(options.labels, (height, width))[0]
    energy = -rearrange(unary.log_softmax(0).numpy(), "l h w -> l (h w)")
    modules = (crfrnn.densecrf, pydensecrf.densecrf)
    grid = compare_grid(modules, energy, image, options.iterations)
    rest = compare_rest(modules, energy, image)
    print(
        f"{width} x {height} pixels, {options.labels} labels, T = {options.iterations}, the worst of 3 kernel types\n"
    )
    found = tables(grid, rest)
    print(*found.values(), sep="\n\n")
    write_tables(options.table, found)
    if options.out is not None:
        facts = {
            **origin("eval.bench.parity", argv),
            "image": "drawn scene" if options.image is None else options.image.name,
            "size": [width, height],
            "labels": options.labels,
            "iterations": options.iterations,
            "targets": {"max difference": MAX_DIFFERENCE, "equal labels": LEAST_AGREEMENT},
            "grid": grid,
            "others": rest,
        }
        write_json(options.out, facts)
    return 0 if all(row["met"] for row in [*grid, *rest]) else 1


if __name__ == "__main__":
    exit_with(main)
