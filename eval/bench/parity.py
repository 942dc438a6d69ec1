"""Compare crfrnn.densecrf with pydensecrf2 on a photograph: every normalization, kernel type and kind of compat.

python -m eval.bench.parity --image PHOTO.jpg --out eval/results/parity_densecrf.json    (pip install -e '.[bench]')

Both run the same lines, with nothing but the module exchanged: Gaussian sxy 3 and bilateral (80, 13) or (160, 3). Wanted
are beliefs within 1e-3 everywhere, equal labels at 99.9 % of the pixels, and the same helper outputs, KL numbers and
single steps; the exit code is 1 where one is missed.

Without normalization a pixel hears the sum over all its neighbors, hundreds of times the mean. The weights are a
hundredth there: with terms of thousands, float32 rounding alone moves beliefs by more than 1e-3 in either program.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from einops import rearrange
from tqdm import tqdm

import crfrnn.densecrf
from crfrnn._command import exit_code
from eval.bench.task import guide_image, synthetic_unary
from eval.scoring.record import origin, write_json
from eval.scoring.tables import text_table

SETTINGS = ((80.0, 13.0), (160.0, 3.0))
NORMALIZATIONS = ("NO_NORMALIZATION", "NORMALIZE_BEFORE", "NORMALIZE_AFTER", "NORMALIZE_SYMMETRIC")
KERNELS = ("CONST_KERNEL", "DIAG_KERNEL", "FULL_KERNEL")
COMPATS = ("number", "vector", "matrix")
GAUSSIAN_WEIGHT, BILATERAL_WEIGHT = 3.0, 10.0
MAX_DIFFERENCE, LEAST_AGREEMENT = 1e-3, 0.999
HELPER_DIFFERENCE = 1e-5  # of energies and features: a rounding of either
KL_DIFFERENCE = 5e-3  # relative: pydensecrf adds millions of products up in float32


def compat(kind: str, weight: float, labels: int) -> float | np.ndarray:
    """A compat of the given kind and about the given strength; the matrix is not symmetric."""
    generator = np.random.default_rng(0)
    if kind == "number":
        return weight
    if kind == "vector":
        return (-weight * generator.uniform(0.5, 1, labels)).astype(np.float32)
    return (weight * (generator.uniform(0.5, 1, (labels, labels)) - np.eye(labels))).astype(np.float32)


def image_crf(
    module: ModuleType, energy: np.ndarray, image: np.ndarray, thetas: tuple[float, float],
    normalization: str, kernel: str, kind: str,
) -> Any:  # fmt: skip
    """A DenseCRF2D of `module`, ready for inference."""
    height, width = image.shape[:2]
    labels = len(energy)
    scale = 0.01 if normalization == "NO_NORMALIZATION" else 1
    options = {"kernel": getattr(module, kernel), "normalization": getattr(module, normalization)}
    crf = module.DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(energy)
    crf.addPairwiseGaussian(sxy=3, compat=compat(kind, scale * GAUSSIAN_WEIGHT, labels), **options)
    weights = compat(kind, scale * BILATERAL_WEIGHT, labels)
    crf.addPairwiseBilateral(sxy=thetas[0], srgb=thetas[1], rgbim=image, compat=weights, **options)
    return crf


def stepwise(module: ModuleType, energy: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, float]:
    """Beliefs and KL number after three single steps of a DenseCRF over features of the helper functions."""
    height, width = image.shape[:2]
    helpers = utils(module)
    crf = module.DenseCRF(height * width, len(energy))
    crf.setUnary(module.ConstUnary(energy))
    crf.addPairwiseEnergy(helpers.create_pairwise_gaussian((3, 5), (height, width)), compat=3)
    crf.addPairwiseEnergy(helpers.create_pairwise_bilateral((60, 80), (13, 14, 15), image, chdim=2), compat=10)
    beliefs, *buffers = crf.startInference()
    for _ in range(3):
        crf.stepInference(beliefs, *buffers)
    return np.array(beliefs), crf.klDivergence(beliefs)


def helper_outputs(module: ModuleType, energy: np.ndarray, image: np.ndarray) -> dict[str, np.ndarray]:
    """What the helper functions of `module` give."""
    helpers = utils(module)
    probabilities = np.exp(-energy) / np.exp(-energy).sum(0)
    labels = energy.argmin(0).reshape(image.shape[:2])
    count = len(energy)
    return {
        "unary_from_softmax": helpers.unary_from_softmax(probabilities),
        "unary_from_softmax, scale": helpers.unary_from_softmax(probabilities, scale=0.7, clip=None),
        "unary_from_labels": helpers.unary_from_labels(labels, count - 1, 0.7),
        "unary_from_labels, no 0": helpers.unary_from_labels(labels, count, 0.7, zero_unsure=False),
        "create_pairwise_gaussian": helpers.create_pairwise_gaussian((3, 7), image.shape[:2]),
        "create_pairwise_bilateral": helpers.create_pairwise_bilateral((80, 60), (13, 3, 5), image, chdim=2),
        "create_pairwise_bilateral, gray": helpers.create_pairwise_bilateral((80, 60), 13, image[..., 0]),
    }


def utils(module: ModuleType) -> ModuleType:
    """Where `module` has its helper functions."""
    if module is crfrnn.densecrf:
        return crfrnn.densecrf.utils
    import pydensecrf.utils

    return pydensecrf.utils


def beliefs_row(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """How near two sets of beliefs [L, N] are."""
    difference = float(np.abs(ours - theirs).max())
    agreement = float((ours.argmax(0) == theirs.argmax(0)).mean())
    return {
        "max difference": difference,
        "equal labels": agreement,
        "met": difference < MAX_DIFFERENCE and agreement >= LEAST_AGREEMENT,
    }


def compare_grid(
    modules: Sequence[ModuleType], energy: np.ndarray, image: np.ndarray, iterations: int
) -> list[dict[str, Any]]:
    """One row for each combination."""
    rows = []
    combinations = list(itertools.product(SETTINGS, NORMALIZATIONS, KERNELS, COMPATS))
    for thetas, normalization, kernel, kind in tqdm(combinations, desc="combinations", disable=None):
        ours, theirs = (
            np.array(image_crf(module, energy, image, thetas, normalization, kernel, kind).inference(iterations))
            for module in modules
        )
        names = {"thetas": thetas, "normalization": normalization, "kernel": kernel, "compat": kind}
        rows.append({**names, **beliefs_row(ours, theirs)})
    return rows


def compare_rest(modules: Sequence[ModuleType], energy: np.ndarray, image: np.ndarray) -> list[dict[str, Any]]:
    """Rows for single steps, the KL number and the helper functions."""
    (ours, our_kl), (theirs, their_kl) = (stepwise(module, energy, image) for module in modules)
    error = abs(our_kl - their_kl) / abs(their_kl)
    rows = [
        {"what": "DenseCRF, three single steps", **beliefs_row(ours, theirs)},
        {"what": "klDivergence, relative", "max difference": error, "met": error < KL_DIFFERENCE},
    ]
    left, right = (helper_outputs(module, energy, image) for module in modules)
    for name, value in left.items():
        same = value.shape == right[name].shape and value.dtype == right[name].dtype
        difference = float(np.abs(value - right[name]).max()) if same else None
        met = difference is not None and difference < HELPER_DIFFERENCE
        rows.append({"what": name, "max difference": difference, "met": met})
    return rows


def tables(grid: Sequence[dict[str, Any]], rest: Sequence[dict[str, Any]]) -> str:
    """The grid, the worst of the kernel types in each row, and the rest."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in grid:
        groups.setdefault((row["thetas"], row["normalization"], row["compat"]), []).append(row)
    lines = [
        [
            f"({thetas[0]:g}, {thetas[1]:g})",
            normalization,
            kind,
            f"{max(row['max difference'] for row in rows):.1e}",
            f"{100 * min(row['equal labels'] for row in rows):.3f} %",
            _met(rows),
        ]
        for (thetas, normalization, kind), rows in groups.items()
    ]
    header = ["(sxy, srgb)", "normalization", "compat", "max |dQ|", "equal labels", "met"]
    others = [
        [row["what"], "other shape" if row["max difference"] is None else f"{row['max difference']:.1e}", _met([row])]
        for row in rest
    ]
    return text_table(header, lines) + "\n\n" + text_table(["", "max difference", "met"], others)


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
    parser.add_argument("--image", type=Path, help="a photograph (a drawn scene)")
    parser.add_argument("--labels", type=int, default=21, help="number of labels (21)")
    parser.add_argument("--iterations", type=int, default=5, help="iterations of mean field (5)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args(argv)
    if options.labels < 2 or options.iterations < 1:
        parser.error(f"got {options.labels} labels and {options.iterations} iterations; wanted at least 2 and 1")
    return exit_code("eval.bench.parity", lambda: run(options, argv))


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Compare, print the tables, write the file; 1 where a target is missed."""
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
    print(tables(grid, rest))
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
    sys.exit(main())
