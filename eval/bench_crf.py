"""Time the whole CRF inference of one photograph against pydensecrf2, after checking that both give the same beliefs.

python -m eval.bench_crf --image PHOTO.jpg --out eval/results/bench_crf.json        (pip install -e '.[bench]')

Smoothness theta_gamma 3 and appearance (80, 13) or (160, 3), symmetric normalisation, T = 10, from the building of the
lattices to the last beliefs. Runs of the systems alternate and medians are compared, so that a drift of the machine
cancels; only ratios of one run mean something.
"""

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.data import read_image
from eval.files import replacing
from eval.provenance import commit, hardware
from eval.tables import text_table

SETTINGS = ((80.0, 13.0), (160.0, 3.0))
THETA_GAMMA = 3.0
WEIGHTS = {"smoothness": 3.0, "appearance": 10.0}
ITERATIONS = 10


def synthetic_unary(labels: int, height: int, width: int) -> Tensor:
    """Logits [1, L, H, W] that vary smoothly over the image, as a network's do: noise on a coarse grid, interpolated."""
    generator = torch.Generator().manual_seed(0)
    coarse = 3 * torch.randn(1, labels, height // 16 + 2, width // 16 + 2, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True)


def ours(unary: Tensor, image: Tensor, thetas: tuple[float, float]) -> Callable[[], Tensor]:
    """Our inference as a function without arguments; it gives beliefs [L, H, W]."""
    kernels = [
        smoothness_kernel(THETA_GAMMA, WEIGHTS["smoothness"]),
        appearance_kernel(*thetas, WEIGHTS["appearance"]),
    ]
    crf = CRFRNN(unary.shape[1], kernels, ITERATIONS, "symmetric").requires_grad_(False)
    return lambda: crf(unary, image).softmax(1)[0]


def theirs(unary: Tensor, image: Tensor, thetas: tuple[float, float]) -> Callable[[], Tensor]:
    """The same with pydensecrf2, which runs on one thread."""
    from pydensecrf import densecrf

    labels, height, width = unary.shape[1:]
    energy = np.ascontiguousarray(-unary[0].flatten(1).numpy())
    rgb = np.ascontiguousarray(image[0].permute(1, 2, 0).to(torch.uint8).numpy())

    def run() -> Tensor:
        crf = densecrf.DenseCRF2D(width, height, labels)
        crf.setUnaryEnergy(energy)
        crf.addPairwiseGaussian(sxy=THETA_GAMMA, compat=WEIGHTS["smoothness"])
        crf.addPairwiseBilateral(sxy=thetas[0], srgb=thetas[1], rgbim=rgb, compat=WEIGHTS["appearance"])
        return torch.from_numpy(np.array(crf.inference(ITERATIONS))).view(labels, height, width)

    return run


def gate(left: Tensor, right: Tensor) -> dict[str, float]:
    """How near two sets of beliefs are. Raises AssertionError where they are not those of one model."""
    agreement = float((left.argmax(0) == right.argmax(0)).float().mean())
    difference = float((left - right).abs().mean())
    if agreement < 0.999 or difference > 1e-3:
        raise AssertionError(
            f"the systems disagree: equal labels at {100 * agreement:.2f} % of the pixels, mean difference of beliefs "
            f"{difference:.1e}; timing them would compare different things"
        )
    return {"equal labels": agreement, "mean difference of beliefs": difference}


def alternate(functions: dict[str, Callable[[], Tensor]], repeats: int) -> dict[str, float]:
    """Median seconds of each function, one run of each in turn, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for round_number in range(repeats + 1):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            if round_number:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(prog="python -m eval.bench_crf", description=__doc__)
    parser.add_argument("--image", type=Path, required=True, help="a photograph")
    parser.add_argument("--labels", type=int, default=21, help="number of labels (21)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads for our side")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each system (5)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    image = read_image(options.image)[None].float()
    unary = synthetic_unary(options.labels, *image.shape[-2:])
    results = []
    for thetas in SETTINGS:
        functions = {"crfrnn": ours(unary, image, thetas), "pydensecrf2": theirs(unary, image, thetas)}
        equality = gate(functions["crfrnn"](), functions["pydensecrf2"]())
        seconds = alternate(functions, options.repeats)
        ratio = seconds["pydensecrf2"] / seconds["crfrnn"]
        results.append({"thetas": thetas, "seconds": seconds, "pydensecrf2 / crfrnn": ratio, **equality})
    header = ["(theta_alpha,\ntheta_beta)", "equal\nlabels", "crfrnn", "pydensecrf2\n1 thread", "pydensecrf2\n/ crfrnn"]
    rows = [
        [
            f"({r['thetas'][0]:g}, {r['thetas'][1]:g})",
            f"{100 * r['equal labels']:.3f} %",
            f"{r['seconds']['crfrnn']:.3f} s",
            f"{r['seconds']['pydensecrf2']:.3f} s",
            f"{r['pydensecrf2 / crfrnn']:.2f}",
        ]
        for r in results
    ]
    height, width = image.shape[-2:]
    print(f"{width} x {height} pixels, {options.labels} labels, T = {ITERATIONS}, {options.threads} threads\n")
    print(text_table(header, rows))
    if options.out is not None:
        facts = {
            "command": shlex.join(["python", "-m", "eval.bench_crf", *argv]),
            "commit": commit(),
            "torch": torch.__version__,
            "hardware": hardware(torch.device("cpu")),
            "size": [width, height],
            "labels": options.labels,
            "iterations": ITERATIONS,
            "results": results,
        }
        with replacing(options.out) as partial:
            partial.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
