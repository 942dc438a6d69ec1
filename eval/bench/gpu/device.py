"""Time the CRF on a GPU, after checking that Triton kernels, plain torch and the CPU give the same labels, and that a
CUDA graph of the kernels gives the same logits.

python -m eval.bench.gpu.device --images A.jpg B.jpg --out FILE.json

For every pair of bandwidths and batch size it builds the lattices and runs T = 10 iterations over 21 labels at 500 x 375,
with Triton's kernels, with a graph of them and with plain torch; then a training step of the CRF alone, T = 5, and one of
deeplab-largefov under bfloat16, with the CRF and without; then the exact CRF of a photograph. "Flat" is a photograph whose
upper half has one color, so that few vertices collect most of its pixels. The share is that of the bandwidth of copying on
this device, where every launch reads and writes each of its tensors once. Without --images it draws a scene; where there
are fewer images than a batch takes, they come again.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crfrnn._command import exit_code, exit_with
from eval.bench.gpu.roofline import BATCHES, CORNERS, LABELS, SIZE, TARGETS, bytes_of_an_iteration
from eval.scoring.tables import Table, add_table_flag, check_table, write_tables

if TYPE_CHECKING:
    from torch import Tensor

    from crfrnn import CRFRNN

THETAS = tuple(TARGETS)
HEADER = (
    "bandwidths",
    "batch",
    "vertices\nof an image",
    "code",
    "build, ms\nan image",
    "T = 10, ms\nan image",
    "share of\nbandwidth, %",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="python -m eval.bench.gpu.device",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", nargs="+", type=Path, default=[], help="photographs (default: a drawn scene)")
    parser.add_argument("--device", default="cuda", help="where to compute (default: cuda)")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each (default: 5)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    add_table_flag(parser)
    options = parser.parse_args(argv)
    return exit_code("eval.bench.gpu.device", lambda: run(options, argv))


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Measure, print and write. Raises ValueError where there is no such device, or the codes disagree."""
    import torch

    from eval.bench.task import guide_image, resized
    from eval.scoring.record import hardware, origin, write_json

    check_table(options.table)
    if options.device != "cuda" or not torch.cuda.is_available():
        raise ValueError(f"--device {options.device}: wanted cuda, and a GPU that torch can use")
    photos = [resized(guide_image(path), SIZE) for path in options.images or [None]]
    bandwidth = copy_bandwidth(options.repeats)
    rows = [
        row
        for thetas in THETAS
        for batch in BATCHES
        for row in measure(photos, thetas, batch, bandwidth, options.repeats)
    ]
    flat = [photo.clone() for photo in photos]
    for photo in flat:
        photo[..., : SIZE[0] // 2, :] = 128
    rows += [
        {**row, "bandwidths": f"{row['bandwidths']}, flat"}
        for thetas in THETAS
        for row in measure(flat, thetas, max(BATCHES), bandwidth, options.repeats, ("triton",))
    ]
    table = Table(HEADER, [cells(row) for row in rows])
    print(table)
    write_tables(options.table, {"inference": table})
    steps = [training(photos, thetas, options.repeats) for thetas in THETAS]
    for step in steps:
        print(
            f"training, T = 5, batch 4, {step['bandwidths']}: {step['triton']:.1f} ms an image, in torch {step['torch']:.1f}"
        )
    joint = joint_step(photos, options.repeats)
    print(
        f"step of deeplab-largefov, 321 x 321, batch 8: {joint['network']:.1f} ms, with the CRF {joint['with CRF']:.1f} ms"
    )
    exact = {f"({thetas[0]:g}, {thetas[1]:g})": exact_crf(photos, thetas) for thetas in THETAS}
    for thetas, took in exact.items():
        print(f"exact, T = 10, {thetas}: {took / 1e3:.2f} s")
    print(f"copying: {bandwidth / 1e12:.2f} TB/s")
    if options.out is not None:
        facts = {
            **origin("eval.bench.gpu.device", argv),
            "hardware": hardware(torch.device("cuda")),
            "copying": bandwidth,
        }
        write_json(options.out, {**facts, "inference": rows, "training": steps, "joint step": joint, "exact": exact})
    return 0


def cells(row: dict[str, Any]) -> list[str]:
    """A row of the table."""
    figures = [f"{row['build']:.2f}", f"{row['loop']:.2f}", f"{100 * row['share']:.0f}"]
    return [row["bandwidths"], str(row["batch"]), f"{row['vertices']:,}", row["code"], *figures]


def measure(
    photos: "list[Tensor]",
    thetas: tuple[float, float],
    batch: int,
    bandwidth: float,
    repeats: int,
    codes: Sequence[str] = ("triton", "graph", "torch"),
) -> Iterator[dict[str, Any]]:
    """One row for each code."""
    import torch

    from crfrnn.fused.mean_field import label_matrices

    image, unary = inputs(photos, batch, SIZE)
    crf = layer(thetas)
    for code in codes:
        with chosen(code), torch.no_grad():
            if batch == 1:
                check(crf, unary, image, code)
            kernels = crf.build_kernels({"image": image}, unary)
            matrices = label_matrices(crf.cell.compatibility, crf.cell.kernel_weights)

            build = milliseconds(lambda: crf.build_kernels({"image": image}, unary), repeats) / batch
            took = milliseconds(partial(iterations, crf, unary, kernels, matrices), repeats) / batch
            vertices = kernels.stack.num_vertices // batch  # type: ignore[union-attr]
            moved = bytes_of_an_iteration(vertices, SIZE[0] * SIZE[1], CORNERS)
            yield {
                "bandwidths": f"({thetas[0]:g}, {thetas[1]:g})", "batch": batch, "vertices": vertices, "code": code,
                "build": build, "loop": took, "bytes": moved, "share": 10 * moved / (took / 1e3) / bandwidth,
            }  # fmt: skip


def iterations(crf: "CRFRNN", unary: "Tensor", kernels: Any, matrices: "Tensor") -> "Tensor":
    """T = 10 over kernels that are there: in one call where there is code for it, else step by step."""
    from crfrnn.fused.mean_field import mean_field

    logits = mean_field(unary, kernels, matrices, 10)
    return list(crf._iterate(unary, kernels, 10))[-1].logits if logits is None else logits


def training(photos: "list[Tensor]", thetas: tuple[float, float], repeats: int) -> dict[str, Any]:
    """Forward and backward of T = 5 at 321 x 321."""
    image, unary = inputs(photos, 4, (321, 321))
    crf = layer(thetas)
    unary.requires_grad_()

    def step() -> None:
        crf(unary, image, 5).logsumexp(1).sum().backward()

    found: dict[str, Any] = {"bandwidths": f"({thetas[0]:g}, {thetas[1]:g})"}
    for code in ("triton", "torch"):
        with chosen(code):
            found[code] = milliseconds(step, repeats) / 4
    return found


def joint_step(photos: "list[Tensor]", repeats: int) -> dict[str, float]:
    """Milliseconds of forward and backward of a network under bfloat16, alone and with a CRF of T = 5 on it."""
    import torch
    from torch.nn.functional import cross_entropy

    from crfrnn.nets import build_model

    image, _ = inputs(photos, 8, (321, 321))
    labels = torch.randint(LABELS, (8, 321, 321), device="cuda")
    model = build_model("deeplab-largefov", LABELS, crf=layer(THETAS[1])).cuda()

    def step(function: Callable[..., "Tensor"], *more: int) -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = cross_entropy(function(image, *more).float(), labels)
        loss.backward()

    return {
        "network": milliseconds(lambda: step(model.unary), repeats),
        "with CRF": milliseconds(lambda: step(model, 5), repeats),
    }


def exact_crf(photos: "list[Tensor]", thetas: tuple[float, float]) -> float:
    """Milliseconds of T = 10 with filter="exact" over one photograph.

    Raises ValueError where one iteration gives other labels than plain torch, but for one in ten thousand.
    """
    import torch

    image, unary = inputs(photos, 1, SIZE)
    crf = layer(thetas, filter="exact")
    with torch.no_grad():
        got = crf(unary, image, 1).argmax(1)
        with chosen("torch"):
            wanted = crf(unary, image, 1).argmax(1)
        if (got == wanted).float().mean() < 0.9999:
            raise ValueError("the exact CRF on the GPU: Triton and torch disagree on the labels")
        return milliseconds(lambda: crf(unary, image), 3)


def check(crf: "CRFRNN", unary: "Tensor", image: "Tensor", code: str) -> None:
    """Raise ValueError where labels are not those that the CPU finds, but for one in ten thousand that rounding decides.

    Also where a graph's logits are not those of the kernels in it, to the last bit.
    """
    import torch

    from crfrnn.native import disabled

    logits = crf(unary, image)
    if code == "graph":
        with chosen("triton"):
            if not torch.equal(logits, crf(unary, image)):
                raise ValueError("CRFRNN_GPU=graph gives other logits than CRFRNN_GPU=triton on this GPU")
    got = logits.argmax(1).cpu()
    with disabled():
        wanted = crf.cpu()(unary.cpu(), image.cpu()).argmax(1)
    crf.cuda()
    equal = float((got == wanted).float().mean())
    if equal < 0.9999:
        raise ValueError(f"{code} on the GPU: only {100 * equal:.3f} % of the labels are those of the CPU")


def inputs(photos: "list[Tensor]", batch: int, size: tuple[int, int]) -> "tuple[Tensor, Tensor]":
    import torch

    from eval.bench.task import synthetic_unary

    image = torch.cat([photos[i % len(photos)][..., : size[0], : size[1]] for i in range(batch)])
    return image.cuda(), synthetic_unary(LABELS, size).repeat(batch, 1, 1, 1).cuda()


def layer(thetas: tuple[float, float], **options: Any) -> "CRFRNN":
    from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel

    kernels = [smoothness_kernel(3, 3.0), appearance_kernel(*thetas, 10.0)]
    return CRFRNN(LABELS, kernels, 10, normalization="symmetric", **options).cuda()


@contextmanager
def chosen(code: str) -> Iterator[None]:
    before = os.environ.get("CRFRNN_GPU")
    os.environ["CRFRNN_GPU"] = code
    try:
        yield
    finally:
        os.environ.pop("CRFRNN_GPU") if before is None else os.environ.update(CRFRNN_GPU=before)


def milliseconds(function: Callable[[], Any], repeats: int) -> float:
    """The median over the repeats, by events on the device, after a first run that does not count."""
    import statistics

    import torch

    function()
    times = []
    for _ in range(repeats):
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        function()
        ended.record()
        torch.cuda.synchronize()
        times.append(began.elapsed_time(ended))
    return statistics.median(times)


def copy_bandwidth(repeats: int) -> float:
    """Bytes a second, read and written, of copying a gigabyte."""
    import torch

    source = torch.empty(2**28, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / (milliseconds(lambda: target.copy_(source), repeats) / 1e3)


if __name__ == "__main__":
    exit_with(main)
