"""Refine coarse labels of a volume, and draw three slices before and after.

python -m eval.volume SCAN.nii.gz --thresholds 60 560 --out DIR

The labels are intensities between thresholds, not those of an expert. What a network might know of them is drawn up from
them: their shares in blocks of voxels, with noise, stretched to the scan. A dense CRF over the scan then has to find the
borders again. For SCAN.nii.gz the command writes SCAN.png and prints how many voxels have another label than by thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from crfrnn._command import description, exit_code, exit_with
from crfrnn.presets import FixedCRF
from eval.pictures.formats import FigureFormat
from eval.scoring.tables import Table, TableFile

if TYPE_CHECKING:
    from torch import Tensor

BRIGHTEST = 0.995
"""of all voxels: how many are not brighter than 255"""


@dataclass(frozen=True)
class Options:
    scan: tyro.conf.Positional[Path]
    """a volume, .nii or .nii.gz; of several, the first"""
    thresholds: tuple[float, ...]
    """intensities where one label ends and the next begins, in rising order; the lowest label is the background"""
    stride: int = 4
    """voxels along each side of the blocks whose shares of labels are known"""
    noise: float = 1.0
    """standard deviation of what is added to the logits of every block"""
    seed: int = 0
    dense_crf: FixedCRF = field(default_factory=lambda: FixedCRF(4.0, 12.0, 6.0, 0.5, 2.0, 5))
    """thetas of positions in the unit of the file, millimeters"""
    out: Path = Path()
    """folder for the picture"""
    table: TableFile = None
    figures: FigureFormat = "png"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = tyro.cli(Options, args=argv, prog="python -m eval.volume", description=description(__doc__))
    return exit_code("eval.volume", lambda: run(options))


def run(options: Options) -> int:
    """Read, refine and draw. Raises OSError or ValueError where the options cannot be followed."""
    import torch

    from eval.inputs.flags import check_counts, check_fixed_crf, check_folder, check_not_negative
    from eval.pictures.figures import save_figure
    from eval.pictures.slices import slices_figure
    from eval.scoring.tables import check_table, write_tables

    check_table(options.table)
    check_counts(1, stride=options.stride)
    check_not_negative(noise=options.noise)
    check_fixed_crf("dense-crf.", options.dense_crf)
    if not options.thresholds or list(options.thresholds) != sorted(set(options.thresholds)):
        raise ValueError(f"--thresholds are {options.thresholds}; wanted one or more, in rising order")
    check_folder("--out", options.out)
    scan, spacing = read_scan(options.scan)
    labels = torch.bucketize(scan, torch.tensor(options.thresholds))
    count = len(options.thresholds) + 1
    gray = (255 * scan / scan.flatten().quantile(BRIGHTEST).clamp(min=1e-6)).clamp(0, 255)
    unary = coarse_logits(labels, count, options.stride, options.noise, options.seed)
    with torch.no_grad():
        logits = options.dense_crf.build(count)(unary[None], gray[None, None], spacing=spacing)[0]
    labelings = {"thresholds": labels, "coarse labels": unary.argmax(0), "after the CRF": logits.argmax(0)}
    wrong = {name: 100 * float((found != labels).float().mean()) for name, found in labelings.items()}
    named = {f"{name}: {wrong[name]:.1f} % differ" if wrong[name] else name: each for name, each in labelings.items()}
    classes = ["background", *(f"above {threshold:g}" for threshold in options.thresholds)]
    picture = options.out / f"{options.scan.name.removesuffix('.gz').removesuffix('.nii')}.{options.figures}"
    save_figure(slices_figure(gray.to(torch.uint8), named, classes, spacing), picture)
    print(f"{picture}\n")
    table = Table(
        ["labels", "other than by\nthresholds, percent"], [[n, f"{w:.2f}"] for n, w in list(wrong.items())[1:]]
    )
    print(table)
    write_tables(options.table, {"volume": table})
    return 0


def read_scan(path: Path) -> tuple[Tensor, tuple[float, ...]]:
    """Intensities float32 [D, H, W] with the last axis of the file first, and the spacing of these axes.

    Raises OSError or ValueError where there is no such volume.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; wanted a volume, .nii or .nii.gz")
    import torch

    try:
        import nibabel
        from nibabel.filebasedimages import ImageFileError
    except ImportError as error:
        raise ImportError("volumes need nibabel; pip install 'crfrnn[volumes]'") from error
    try:
        image: Any = nibabel.load(path)
    except ImageFileError as error:
        raise ValueError(f"{path} is no volume that nibabel reads: {error}") from error
    values = torch.from_numpy(image.get_fdata(dtype="float32"))
    values = values.flatten(3)[..., 0] if values.ndim > 3 else values
    if values.ndim != 3 or not values.isfinite().all():
        raise ValueError(f"{path} has shape {list(values.shape)}; wanted three axes or more, of finite intensities")
    spacing = tuple(float(size) for size in image.header.get_zooms()[:3])
    return values.permute(2, 1, 0).contiguous(), spacing[::-1]


def coarse_logits(labels: Tensor, count: int, stride: int, noise: float, seed: int) -> Tensor:
    """Logits [L, D, H, W] of labels [D, H, W] whose shares are known in blocks only, with noise."""
    import torch
    import torch.nn.functional as F

    shares = F.one_hot(labels, count).movedim(3, 0).float()
    blocks = F.avg_pool3d(shares[None], stride, ceil_mode=True, count_include_pad=False)
    logits = blocks.clamp(min=0.01).log()
    logits = logits + noise * torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(logits, labels.shape, mode="trilinear")[0]


if __name__ == "__main__":
    exit_with(main)
