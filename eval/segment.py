"""Segment photographs with a checkpoint.

python -m eval.segment IMAGE... --checkpoint FILE --out DIR

For NAME.jpg it writes NAME_labels.png, the labels as a palette PNG of the image's size, and NAME_overlay.png, the image
with the labels painted over it and a legend. Photographs may have any size; the network takes large ones in tiles that leave
no seams, the CRF-RNN takes each as a whole.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image, ImageOps
from torch import Tensor

from crfrnn.data import write_labels
from crfrnn.data.images import load
from crfrnn.nets import SegmentationModel, infer
from eval.command import complain, exit_code, load_model
from eval.figures import overlay_figure, save_figure


@dataclass(frozen=True)
class Options:
    images: tyro.conf.Positional[tuple[Path, ...]]
    """files to segment"""
    checkpoint: Path
    """file of the model"""
    out: Path = Path()
    """folder for the results"""
    iterations: int | None = None
    """mean-field iterations T of the CRF-RNN; its own number by default"""
    crf: bool = True
    """whether to run the CRF-RNN of the checkpoint, where it has one"""
    tile: int = 1024
    """side, in pixels, of what the network computes at once of a large image; smaller takes less memory and more time"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 1 where some images could not be segmented, 2 where none was tried."""
    options = tyro.cli(Options, args=argv, prog="python -m eval.segment", description=__doc__)
    return exit_code("eval.segment", lambda: run(options))


def run(options: Options) -> int:
    """Segment all images; one that cannot be read is named on stderr and passed over, and makes the result 1."""
    outputs = plan_outputs(options.images, options.out)
    model, classes = load_model(options.checkpoint)
    check_crf(options, model)
    options.out.mkdir(parents=True, exist_ok=True)
    failed = False
    for path, (label_file, overlay_file) in outputs.items():
        try:
            image = read_photo(path)
        except (OSError, ValueError) as error:
            complain("eval.segment", error)
            failed = True
            continue
        labels = segment(model, image, options)
        write_labels(label_file, labels)
        save_figure(overlay_figure(image, labels, classes), overlay_file)
        print(f"{label_file}  {overlay_file}")
    return int(failed)


def plan_outputs(images: Sequence[Path], out: Path) -> dict[Path, tuple[Path, Path]]:
    """The files of labels and overlay for every image.

    Raises ValueError where there is no image, where two would be written to the same files, or one over an image.
    """
    if not images:
        raise ValueError("no image was given; wanted the path of one or more")
    outputs = {path: (out / f"{path.stem}_labels.png", out / f"{path.stem}_overlay.png") for path in images}
    origin: dict[Path, Path] = {}
    for path, (label_file, overlay_file) in outputs.items():
        if origin.setdefault(label_file, path) != path:
            raise ValueError(f"{origin[label_file]} and {path} would both be written to {label_file}; run them apart")
        for file in (label_file, overlay_file):
            if file.exists() and any(image.exists() and file.samefile(image) for image in images):
                raise ValueError(f"{file} is to be written for {path}, but is an input itself; pass another --out")
    return outputs


def check_crf(options: Options, model: SegmentationModel) -> None:
    """Raise ValueError where --iterations is negative or has nothing to act on."""
    if options.iterations is None:
        return
    if options.iterations < 0:
        raise ValueError(f"--iterations is {options.iterations}; wanted 0 or more")
    if model.crf is None or not options.crf:
        reason = "--no-crf was given" if model.crf is not None else f"{options.checkpoint} has no CRF"
        raise ValueError(f"--iterations {options.iterations} has nothing to act on, since {reason}; leave it out")


def read_photo(path: Path) -> Tensor:
    """An image file of any mode as it is meant to be seen: RGB, upright, uint8 [3, H, W]; raises as `load`."""
    photo = ImageOps.exif_transpose(load(path))
    if photo.mode.startswith("I;16"):  # Pillow would clip all but the darkest 256 of the grey levels to white
        photo = Image.fromarray((np.asarray(photo) >> 8).astype(np.uint8))
    return torch.from_numpy(np.array(photo.convert("RGB"))).permute(2, 0, 1).contiguous()


def segment(model: SegmentationModel, image: Tensor, options: Options) -> Tensor:
    """The labels, uint8 [H, W] on the CPU, of an image, uint8 [3, H, W]."""
    batch = image[None].to(next(model.parameters()).device, torch.float32)
    logits = infer(model, batch, options.iterations if options.crf else 0, tile=options.tile)
    return logits[0].argmax(0).to("cpu", torch.uint8)


if __name__ == "__main__":
    sys.exit(main())
