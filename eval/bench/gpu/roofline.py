"""What the memory of a GPU allows: bytes moved by an iteration, and the time they take at least. Needs no GPU.

python -m eval.bench.gpu.roofline --image PHOTO.jpg

It builds the lattices of a photograph, or of a drawn scene, at 500 x 375 on the CPU and counts their vertices. There are 21
labels, in float32, padded to 24; every launch reads and writes each of its tensors once, in the memory of the device. (A
cache that holds the vertices of an image saves some of that.) T = 10 iterations take at least the time of the bytes, at the
bandwidth that NVIDIA publishes, and that of the launches, at 5 microseconds each. The share is that of the bandwidth which
reaches the target, 2 ms an image at (80, 13) and 4 ms at (160, 3).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from crfrnn._command import exit_code, exit_with
from eval.scoring.tables import Table, add_table_flag, check_table, write_tables

SIZE, LABELS, BATCHES, ITERATIONS = (375, 500), 21, (1, 16), 10
TARGETS = {(80.0, 13.0): 2e-3, (160.0, 3.0): 4e-3}
"""by the bandwidths of the appearance kernel, seconds an image"""
DEVICES = {"H100": 3.35e12, "H200": 4.8e12}
"""bytes a second"""
LAUNCH = 5e-6
CORNERS = (3, 6)
"""of the simplices of the kernels, smoothness and appearance"""
HEADER = (
    "bandwidths", "batch", "vertices\nof an image", "MB an\niteration", "launches an\niteration",
    *(f"{device},\n{what}" for device in DEVICES for what in ("ms an image", "share, %")),
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.bench.gpu.roofline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--image", type=Path, help="a photograph (default: a drawn scene)")
    add_table_flag(parser)
    options = parser.parse_args(argv)
    return exit_code("eval.bench.gpu.roofline", lambda: run(options.image, options.table))


def run(image: Path | None, file: Path | None = None) -> int:
    """Count and print. Raises as reading the photograph does."""
    check_table(file)
    counts = {thetas: vertices_of(image, thetas) for thetas in TARGETS}
    table = Table(HEADER, [cells(thetas, batch, counts[thetas]) for thetas in TARGETS for batch in BATCHES])
    print(table)
    write_tables(file, {"roofline": table})
    return 0


def vertices_of(path: Path | None, thetas: tuple[float, float]) -> int:
    """Of the lattices of smoothness (theta_gamma 3) and appearance, together."""
    import torch

    from crfrnn import appearance_kernel, smoothness_kernel
    from crfrnn.kernels import build_kernels
    from crfrnn.native import disabled
    from eval.bench.task import guide_image, resized

    image = resized(guide_image(path), SIZE)
    kernels = [smoothness_kernel(3), appearance_kernel(*thetas)]
    bandwidths = [torch.tensor(kernel.bandwidths) for kernel in kernels]
    with disabled():  # compiled code counts some vertices several times
        return build_kernels(kernels, bandwidths, {"image": image}, image).stack.num_vertices  # type: ignore[union-attr]


def cells(thetas: tuple[float, float], batch: int, vertices: int) -> list[str]:
    """A row of the table."""
    moved, launches = bytes_of_an_iteration(vertices, SIZE[0] * SIZE[1], CORNERS), launches_of_an_iteration(CORNERS)
    row = [f"({thetas[0]:g}, {thetas[1]:g})", str(batch), f"{vertices:,}", f"{batch * moved / 1e6:,.0f}", str(launches)]
    for bandwidth in DEVICES.values():
        floor = ITERATIONS * moved / bandwidth
        row += [
            f"{1e3 * max(floor, ITERATIONS * launches * LAUNCH / batch):.2f}",
            f"{100 * floor / TARGETS[thetas]:.0f}",
        ]
    return row


def bytes_of_an_iteration(vertices: int, points: int, corners: Sequence[int]) -> int:
    """Splat, blur along as many axes as the widest kernel has corners, and the update; float32, int32.

    The splat sums parts of bags first. The last step of the blur multiplies by the label matrices, which weigh nothing.
    """
    from crfrnn.gpu.model import padded_labels
    from crfrnn.lattice.tables import PART_PAIRS

    pairs, parts = points * sum(corners), vertices + points * sum(corners) // PART_PAIRS
    row = 4 * padded_labels(LABELS)
    pixels, listed = row * points, 8 * pairs
    splat = (pixels + listed + (row + 4) * parts) + (row * parts + (row + 4) * vertices)
    blur = max(corners) * (2 * row + 8) * vertices
    return splat + blur + (row * vertices + listed + 2 * pixels)


def launches_of_an_iteration(corners: Sequence[int]) -> int:
    """Two for the splat, one for each axis of the blur, one for the update."""
    return 2 + max(corners) + 1


if __name__ == "__main__":
    exit_with(main)
