"""Segment photographs with the model in a checkpoint.

python -m eval.segment IMAGE... --checkpoint FILE --out DIR
python -m eval.segment FOLDER 'holidays/**/*.jpg' --checkpoint FILE --out DIR --probabilities

For NAME.jpg it writes NAME_labels.png, the labels as a palette PNG of the image's size, NAME_overlay.png, the image with the
labels painted over it and a legend, and, if asked for, NAME_probabilities.npz: `probabilities`, the softmax of the model's
scores, float16 [L, H, W], and `classes`, the names of its L labels. Results of a folder keep its subfolders. Photographs
may have any size; the network takes large ones in tiles that leave no seams, the CRF-RNN takes each as a whole.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from crfrnn._command import description, exit_code, exit_with
from eval.pictures.formats import FigureFormat

if TYPE_CHECKING:
    from torch import Tensor

    from crfrnn.nets import SegmentationModel


@dataclass(frozen=True)
class Options:
    images: tyro.conf.Positional[tuple[Path, ...]]
    """files to segment, folders of them, and wildcards"""
    checkpoint: Path
    """file of the model"""
    network: str | None = None
    """the function of yours that makes the network of the checkpoint, where it is not a built-in one, as in training"""
    out: Path = Path()
    """folder for the results"""
    iterations: int | None = None
    """mean-field iterations T of the CRF-RNN; its own number by default"""
    crf: bool = True
    """whether to run the CRF-RNN of the checkpoint, where it has one"""
    probabilities: tyro.conf.FlagCreatePairsOff[bool] = False
    """write the probabilities of all labels too: large files, 2 bytes a label and pixel before compression"""
    figures: FigureFormat = "png"
    tile: int = 1024
    """side, in pixels, of what the network computes at once of a large image; smaller takes less memory and more time.
    Networks of your own, and those whose scores depend on the whole image, take it at once"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 1 where some images could not be segmented, 2 where none was tried."""
    options = tyro.cli(Options, args=argv, prog="python -m eval.segment", description=description(__doc__))
    return exit_code("eval.segment", lambda: run(options))


def run(options: Options) -> int:
    """Segment all images. One that cannot be read is named on stderr and skipped; the exit code is then 1."""
    from tqdm import tqdm

    from crfrnn._command import complain
    from crfrnn.data import write_labels
    from eval.inputs.checkpoints import check_iterations, load_model, parts_of
    from eval.inputs.flags import check_counts, check_folder
    from eval.inputs.photos import LABELS, OVERLAY, PROBABILITIES, find_photos, named, plan_outputs, read_photo
    from eval.pictures.figures import overlay_figure, save_figure
    from eval.scoring.metrics import most_likely

    check_counts(0, iterations=options.iterations)
    if options.iterations and not options.crf:
        raise ValueError(
            f"--iterations {options.iterations} has nothing to act on, since --no-crf was given; leave one out"
        )
    outputs = plan_outputs(find_photos(options.images), options.out)
    check_folder("--out", options.out)
    parts = parts_of(options.checkpoint)
    if parts is not None and parts.side is not None:
        raise ValueError(
            f"{options.checkpoint} knows parts in crops around objects, at one scale; use eval.parts, with boxes"
        )
    model, classes = load_model(options.checkpoint, options.network)
    check_counts(model.network.period, tile=options.tile)
    check_iterations(options.checkpoint, model, options.iterations)
    failed = 0
    for path, stem in tqdm(outputs.items(), unit="image", desc="segmenting", leave=None):
        try:
            image = read_photo(path)
        except (OSError, ValueError) as error:
            complain("eval.segment", error)
            failed += 1
            continue
        logits = scores(model, image, options)
        labels = most_likely(logits)
        stem.parent.mkdir(parents=True, exist_ok=True)
        write_labels(named(stem, LABELS), labels)
        overlay = named(stem, f"{OVERLAY}.{options.figures}")
        save_figure(overlay_figure(image, labels, classes), overlay)
        if options.probabilities:
            write_probabilities(named(stem, PROBABILITIES), logits[0].softmax(0), classes)
        tqdm.write(f"{named(stem, LABELS)}  {overlay}")
    if failed:
        print(f"eval.segment: {failed} of {len(outputs)} images could not be read", file=sys.stderr)
    return int(failed > 0)


def scores(model: SegmentationModel, image: Tensor, options: Options) -> Tensor:
    """The logits [1, L, H, W] on the CPU of an image, uint8 [3, H, W]."""
    import torch

    from crfrnn.nets import infer

    batch = image[None].to(next(model.parameters()).device, torch.float32)
    return infer(model, batch, options.iterations if options.crf else 0, tile=options.tile).cpu()


def write_probabilities(path: Path, probabilities: Tensor, classes: Sequence[str]) -> None:
    """Write probabilities [L, H, W] in half precision, compressed, with the names of the labels."""
    import numpy as np

    from crfrnn._files import replacing

    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, probabilities=probabilities.numpy().astype(np.float16), classes=np.array(classes))


if __name__ == "__main__":
    exit_with(main)
