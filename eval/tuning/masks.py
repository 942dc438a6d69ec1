"""How the numbers of a CRF change masks of networks: the measurement behind the default of `crfrnn.refine`.

python -m eval.tuning.masks --data VOCdevkit --unaries SCORES.npz --sample 12 --out masks.json

Masks at stride 8 (16) are the truth of all objects against background, averaged over blocks of 8 (16) pixels and stretched
back. Stored scores are refined over the labels that win somewhere in the image. The images are drawn by --seed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crfrnn._command import exit_code, exit_with
from crfrnn.presets import CRF_RNN, MASKS, FixedCRF
from eval.scoring.tables import Table, add_table_flag, check_table, write_tables

if TYPE_CHECKING:
    from torch import Tensor

    from crfrnn.data import Sample

STRIDES = (8, 16)
TRIED = (
    MASKS,
    FixedCRF(2, 10, 5, 0.5, 1, 5),
    FixedCRF(4, 10, 3, 0.5, 1, 5),
    FixedCRF(2, 20, 5, 0.5, 1, 5),
    FixedCRF(3, 30, 4, 0.3, 1, 5),
    FixedCRF(3, 50, 5, 0.3, 1, 5),
    CRF_RNN,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="python -m eval.tuning.masks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set (VOCdevkit)")
    parser.add_argument("--unaries", type=Path, required=True, help="scores of a network, .npz of many images")
    parser.add_argument("--list", default="val", help="list of images (default: val)")
    parser.add_argument("--sample", type=int, default=12, help="how many of them (default: 12)")
    parser.add_argument("--seed", type=int, default=2, help="of the choice among them (default: 2)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    add_table_flag(parser)
    options = parser.parse_args(argv)
    return exit_code("eval.tuning.masks", lambda: run(options, argv))


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Measure, print and write. Raises OSError or ValueError where data or scores cannot be read."""
    import torch
    from tqdm import tqdm

    from crfrnn.data import open_set
    from eval.inputs.flags import check_counts, check_json
    from eval.inputs.scores_file import read_arrays, unary_among
    from eval.scoring.record import origin, write_json

    check_table(options.table)
    check_counts(1, sample=options.sample)
    check_json("--out", options.out)
    dataset, arrays = open_set(options.data, options.list), read_arrays(options.unaries)
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(options.seed))
    samples = [dataset[index] for index in order[: options.sample].tolist()]
    unaries = [unary_among(arrays, options.unaries, tuple(s.labels.shape), s.name) for s in samples]  # type: ignore[arg-type]
    rows = {"none": figures(samples, unaries, None)}
    for crf in tqdm(TRIED, unit="CRF", leave=None):
        rows[str(crf)] = figures(samples, unaries, crf)
    header = ["IoU, percent", *(title for s in STRIDES for title in (f"stride {s}", "mean of\nimages")), "network"]
    table = Table(header, [[name, *(f"{value:.2f}" for value in row)] for name, row in rows.items()])
    print(table)
    write_tables(options.table, {"masks": table})
    if options.out is not None:
        write_json(
            options.out, {**origin("eval.tuning.masks", argv), "images": [s.name for s in samples], "rows": rows}
        )
    return 0


def figures(samples: "Sequence[Sample]", unaries: "Sequence[Tensor]", crf: FixedCRF | None) -> list[float]:
    """Of each stride the IoU of objects over all pixels and its mean over images; the mean IoU of the stored scores."""
    import torch

    from eval.scoring.metrics import Confusion

    labels = max(int(unary.shape[1]) for unary in unaries)
    network = Confusion([str(label) for label in range(labels)])
    found: list[float] = []
    for stride in STRIDES:
        shares = []
        for sample in samples:
            known, truth = sample.labels != 255, (sample.labels > 0) & (sample.labels != 255)
            p = coarse(truth, stride)
            mask = refined(torch.stack([1 - p, p]).clamp(min=0.01).log()[None], sample, crf) == 1
            shares.append([int((mask & truth & known).sum()), int(((mask | truth) & known).sum())])
        together = torch.tensor(shares).sum(0)
        found.append(100 * float(together[0] / together[1]))
        found.append(
            100 * sum(inside / total for inside, total in shares if total) / sum(total > 0 for _, total in shares)
        )
    for sample, unary in zip(samples, unaries, strict=True):
        winners = unary[0].argmax(0).unique()
        network.update(winners[refined(unary[:, winners], sample, crf)].to(torch.uint8), sample.labels)
    return [*found, network.scores().mean_iou]


def coarse(truth: "Tensor", stride: int) -> "Tensor":
    """A mask [H, W] as a network of this stride would see it: averaged over blocks, and stretched."""
    from torch.nn.functional import interpolate

    height, width = truth.shape
    blocks = interpolate(truth[None, None].float(), size=(-(-height // stride), -(-width // stride)), mode="area")
    return interpolate(blocks, size=(height, width), mode="bilinear")[0, 0]


def refined(logits: "Tensor", sample: "Sample", crf: FixedCRF | None) -> "Tensor":
    """The labels [H, W] that win, after the CRF where there is one and more than one label."""
    if crf is None or logits.shape[1] == 1:
        return logits[0].argmax(0)
    return crf.build(logits.shape[1])(logits, sample.image[None].float())[0].argmax(0)


if __name__ == "__main__":
    exit_with(main)
