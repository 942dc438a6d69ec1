"""How far the permutohedral lattice is from the exact Gaussian sum on real photographs, over bandwidths.

python -m eval.bench.accuracy --images PHOTO.jpg ... --out eval/results/lattice_accuracy.json

It takes a crop from the middle of every photograph, small enough for the sum over all pairs of pixels. It filters the
beliefs softmax(unary) with the appearance kernel for every pair of (theta_alpha, theta_beta) and with the smoothness kernel
for every theta_gamma, with and without `dilate`, and reports

    raw scale          the c that minimizes |lattice - c exact|: what the lattice gives where the exact sum gives 1
    raw error          relative RMS error of the raw sums after the best scale
    normalized error   relative RMS error of the sums divided by those of ones, as mean field uses them

For the appearance kernels, it adds a smoothness kernel of theta_gamma 3 and reports the share of pixels whose label after
T = 10 iterations equals that of exact mean field (weights 3 and 10, symmetric normalization), and the same share for the
label of the unary itself. The unaries are smooth noise, which leaves much to mean field, and with --unary also those of
a network. Figures are means over the photographs.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crfrnn._command import exit_code, exit_with
from eval.pictures.formats import add_figures_flag
from eval.scoring.tables import Table, add_table_flag, check_table, write_tables

if TYPE_CHECKING:
    from torch import Tensor

    from eval.bench.accuracy_measures import Row

THETA_ALPHAS, THETA_BETAS, THETA_GAMMAS = (20.0, 40.0, 80.0, 160.0), (3.0, 5.0, 13.0), (1.0, 3.0, 10.0)
LABELS = 21
CROP = (80, 125)  # height and width: 10,000 pixels, 400 MB a matrix


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parser().parse_args(argv)
    return exit_code("eval.bench.accuracy", lambda: run(options, argv))


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    found = argparse.ArgumentParser(
        prog="python -m eval.bench.accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("--images", nargs="+", type=Path, required=True, help="photographs")
    found.add_argument(
        "--unary", type=Path, help="logits of a network, .npz, in addition to noise; see eval/inputs/scores_file.py"
    )
    found.add_argument(
        "--crop", nargs=2, type=int, default=CROP, metavar=("H", "W"), help="size of the crop (default: 80 125)"
    )
    found.add_argument(
        "--theta-alpha", nargs="+", type=float, default=THETA_ALPHAS, help="pixels (default: 20 40 80 160)"
    )
    found.add_argument("--theta-beta", nargs="+", type=float, default=THETA_BETAS, help="gray levels (default: 3 5 13)")
    found.add_argument("--theta-gamma", nargs="+", type=float, default=THETA_GAMMAS, help="pixels (default: 1 3 10)")
    found.add_argument("--out", type=Path, help="JSON file for the figures; the plot gets the same name")
    add_table_flag(found)
    add_figures_flag(found)
    return found


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Measure, print the tables, write the files. Raises OSError or ValueError for files that cannot be used."""
    from tqdm import tqdm

    from eval.bench.accuracy_figure import accuracy_figure
    from eval.bench.accuracy_measures import appearance_rows, mean_rows, smoothness_rows
    from eval.inputs.flags import check_counts, check_json, check_positive
    from eval.pictures.figures import save_figure
    from eval.scoring.record import origin, write_json

    check_table(options.table)
    check_counts(1, crop=options.crop)
    check_positive(theta_alpha=options.theta_alpha, theta_beta=options.theta_beta, theta_gamma=options.theta_gamma)
    check_json("--out", options.out)
    thetas = [(alpha, beta) for alpha in options.theta_alpha for beta in options.theta_beta]
    smoothness: list[list[Row]] = []
    appearance: list[list[Row]] = []
    with tqdm(total=len(options.images), unit="photo") as progress:
        for path in options.images:
            image, unaries = crops(path, options.unary, (options.crop[0], options.crop[1]))
            smoothness.append(list(smoothness_rows(image, unaries, options.theta_gamma)))
            total = 2 * len(thetas) * len(unaries)
            appearance.append(list(tqdm(appearance_rows(image, unaries, thetas), path.name, total, leave=False)))
            progress.update()
    tables = {"appearance": mean_rows(appearance), "smoothness": mean_rows(smoothness)}
    printed = {
        name: Table(HEADER, [cells(row) for row in sorted(rows, key=lambda row: row["unary"])])
        for name, rows in tables.items()
    }
    print(*printed.values(), sep="\n\n", end="\n\n")
    write_tables(options.table, printed)
    if options.out is not None:
        facts = {
            **origin("eval.bench.accuracy", argv),
            "images": [path.name for path in options.images],
            "unary": "synthetic" if options.unary is None else options.unary.name,
            "crop": {"height": options.crop[0], "width": options.crop[1]},
            **tables,
        }
        write_json(options.out, facts)
        save_figure(accuracy_figure(tables["appearance"]), options.out.with_suffix(f".{options.figures}"))
    return 0


def crops(path: Path, unary_path: Path | None, crop: tuple[int, int]) -> "tuple[Tensor, dict[str, Tensor]]":
    """The middle of a photograph [3, h, w] and of its unaries [L, h, w]: synthetic ones, and those of a file.

    Raises ValueError if the photograph is too small.
    """
    from eval.bench.task import guide_image, synthetic_unary
    from eval.inputs.scores_file import read_unary

    image = guide_image(path)
    size = (image.shape[2], image.shape[3])
    if size[0] < crop[0] or size[1] < crop[1]:
        raise ValueError(f"{path} is {size[1]} x {size[0]} pixels; wanted at least the crop, {crop[1]} x {crop[0]}")
    unaries = {} if unary_path is None else {"network": read_unary(unary_path, size, path.stem)}
    labels = unaries["network"].shape[1] if unaries else LABELS
    unaries["synthetic"] = synthetic_unary(labels, size)
    top, left = (size[0] - crop[0]) // 2, (size[1] - crop[1]) // 2

    def middle(tensor: "Tensor") -> "Tensor":
        return tensor[0, :, top : top + crop[0], left : left + crop[1]]

    return middle(image), {name: middle(unary) for name, unary in unaries.items()}


HEADER = (
    "unary",
    "bandwidths",
    "dilate",
    "vertices\nper pixel",
    "raw\nscale",
    "raw\nerror, %",
    "normalized\nerror, %",
    "labels as exact\nmean field, %",
    "the unary\nitself, %",
)


def cells(row: "Row") -> list[str]:
    """A row of figures as text, with shares in percent."""
    bandwidths = f"({row['thetas'][0]:g}, {row['thetas'][1]:g})" if "thetas" in row else f"{row['theta_gamma']:g}"
    shares = ("raw error", "normalized error", "equal labels", "equal labels of the unary")
    percent = [f"{100 * row[name]:.1f}" if name in row else "-" for name in shares]
    return [
        row["unary"],
        bandwidths,
        "yes" if row["dilate"] else "no",
        f"{row['vertices per pixel']:.2f}",
        f"{row['raw scale']:.2f}",
        *percent,
    ]


if __name__ == "__main__":
    exit_with(main)
