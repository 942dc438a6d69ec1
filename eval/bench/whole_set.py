"""Refine the stored scores of a network over a whole set with our CRF and with pydensecrf2: mean IoU, labels, time.

python -m eval.bench.whole_set --unaries SCORES.npz --data VOCdevkit --out FILE.json       (pip install -e '.[bench]')

Every image goes through pydensecrf2, through `CRFRNN`, and through `CRFRNN(..., min_belief=...)`, one after the other, from
the building of the lattices to the beliefs, with symmetric normalization and T = 10. The scores are read as
eval/inputs/scores_file.py says. Times are from one run, so that only their ratios mean something.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from tqdm import tqdm

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn._command import exit_code
from crfrnn.data import VOCSegmentation
from eval.inputs.scores_file import read_unary
from eval.scoring.metrics import Confusion
from eval.scoring.record import origin, write_json
from eval.scoring.tables import text_table

ITERATIONS = 10
NETWORK, PYDENSECRF, FULL, FEW = "network alone", "pydensecrf2", "CRFRNN", "CRFRNN, min_belief"


@dataclass(frozen=True)
class Weights:
    """(w, theta_alpha, theta_beta; w, theta_gamma) of a dense CRF."""

    appearance: float
    theta_alpha: float
    theta_beta: float
    smoothness: float
    theta_gamma: float

    def __str__(self) -> str:
        appearance = f"w {self.appearance:g}, {self.theta_alpha:g}, {self.theta_beta:g}"
        return f"({appearance}; w {self.smoothness:g}, {self.theta_gamma:g})"


SETTINGS = (Weights(4, 49, 5, 3, 3), Weights(4, 67, 3, 3, 1))
"""Found by cross-validation on DeepLab's scores; see the README."""


@dataclass
class Sums:
    """What one way of labeling adds up to over the set."""

    confusion: Confusion
    seconds: float = 0.0
    ratios: list[float] = field(default_factory=list)
    """seconds of pydensecrf2 over seconds of this way, image by image"""
    equal: list[float] = field(default_factory=list)
    """share of the pixels of every image whose label is that of the reference (full run for FEW, else pydensecrf2)"""
    largest: float = 0.0
    """largest difference of any belief to the reference"""


def layer(weights: Weights, num_labels: int, min_belief: float) -> CRFRNN:
    """Our layer with fixed parameters."""
    kernels = [
        smoothness_kernel(weights.theta_gamma, weights.smoothness),
        appearance_kernel(weights.theta_alpha, weights.theta_beta, weights.appearance),
    ]
    return CRFRNN(num_labels, kernels, ITERATIONS, "symmetric", min_belief=min_belief).requires_grad_(False)


def pydensecrf(weights: Weights, unary: Tensor, image: Tensor) -> Tensor:
    """Beliefs [1, L, H, W] of pydensecrf2."""
    from pydensecrf import densecrf

    labels, height, width = unary.shape[1:]
    crf = densecrf.DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(np.ascontiguousarray(-rearrange(unary[0], "l h w -> l (h w)").numpy()))
    crf.addPairwiseGaussian(sxy=weights.theta_gamma, compat=weights.smoothness)
    rgb = np.ascontiguousarray(rearrange(image[0], "c h w -> h w c").to(torch.uint8).numpy())
    crf.addPairwiseBilateral(sxy=weights.theta_alpha, srgb=weights.theta_beta, rgbim=rgb, compat=weights.appearance)
    return torch.from_numpy(np.array(crf.inference(ITERATIONS))).view(1, labels, height, width)


def compare(
    weights: Weights, dataset: VOCSegmentation, unaries: Path, min_belief: float, images: int | None
) -> dict[str, Sums]:
    """Label all images of `dataset` (or the first `images`) in every way."""
    classes = dataset.classes
    sums = {name: Sums(Confusion(classes)) for name in (NETWORK, PYDENSECRF, FULL, FEW)}
    full, few = (layer(weights, len(classes), eps) for eps in (0.0, min_belief))
    for index in tqdm(range(min(len(dataset), images or len(dataset))), desc=str(weights), unit="image"):
        image, truth, name = dataset[index]
        image = image[None].float()
        unary = read_unary(unaries, (image.shape[2], image.shape[3]), name)
        ways: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            PYDENSECRF: partial(pydensecrf, weights),
            FULL: lambda unary, image: full(unary, image).softmax(1),
            FEW: lambda unary, image: few(unary, image).softmax(1),
        }
        seconds, beliefs = {}, {}
        for way, function in ways.items():
            began = time.perf_counter()
            beliefs[way] = function(unary, image)
            seconds[way] = time.perf_counter() - began
        sums[NETWORK].confusion.update(unary[0].argmax(0), truth)
        for way, found in beliefs.items():
            reference = beliefs[FULL if way == FEW else PYDENSECRF]
            own = sums[way]
            own.confusion.update(found[0].argmax(0), truth)
            own.seconds += seconds[way]
            own.ratios.append(seconds[PYDENSECRF] / seconds[way])
            own.equal.append(float((found.argmax(1) == reference.argmax(1)).float().mean()))
            own.largest = max(own.largest, float((found - reference).abs().max()))
    return sums


def facts(sums: dict[str, Sums]) -> dict[str, dict[str, float]]:
    """The figures of every way."""
    rows = {}
    for name, own in sums.items():
        row = {"mean IoU": own.confusion.scores().mean_iou}
        if own.ratios:
            row |= {
                "seconds per image": own.seconds / len(own.ratios),
                "mean ratio": float(np.mean(own.ratios)),
                "equal labels": float(np.mean(own.equal)),
                "least equal labels": min(own.equal),
                "largest difference of beliefs": own.largest,
            }
        rows[name] = row
    return rows


def table(rows: dict[str, dict[str, float]]) -> str:
    """The same for people."""
    header = [
        "",
        "mean IoU",
        "seconds\nper image",
        "times faster\n(mean)",
        "equal labels\n(mean)",
        "(least)",
        "max |dQ|",
    ]
    lines = []
    for name, row in rows.items():
        line = [name, f"{row['mean IoU']:.2f}"]
        if len(row) > 1:
            line += [
                f"{row['seconds per image']:.3f}", f"{row['mean ratio']:.2f}", f"{100 * row['equal labels']:.4f} %",
                f"{100 * row['least equal labels']:.3f} %", f"{row['largest difference of beliefs']:.1e}",
            ]  # fmt: skip
        lines.append(line + [""] * (len(header) - len(line)))
    return text_table(header, lines)


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
    parser.add_argument("--list", default="val", help="list of images (val)")
    parser.add_argument("--images", type=int, help="the first so many images only")
    parser.add_argument("--min-belief", type=float, default=1e-3, help="see CRFRNN (1e-3)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads for our side")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args(argv)

    def run() -> int:
        torch.set_num_threads(options.threads)
        dataset = VOCSegmentation(options.data, options.list)
        results: dict[str, Any] = {}
        for weights in SETTINGS:
            rows = facts(compare(weights, dataset, options.unaries, options.min_belief, options.images))
            results[str(weights)] = rows
            print(f"\n{weights}, symmetric, T = {ITERATIONS}, min_belief {options.min_belief:g}\n\n{table(rows)}\n")
            if options.out is not None:
                write_json(options.out, origin("eval.bench.whole_set", argv) | {"results": results})
        return 0

    return exit_code("eval.bench.whole_set", run)


if __name__ == "__main__":
    sys.exit(main())
