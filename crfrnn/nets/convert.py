"""Convert published weights to a checkpoint, or a checkpoint to a plain state dict.

python -m crfrnn.nets.convert IN OUT

IN is a .caffemodel (VGG-16, DeepLab v1, FCN, CRF-RNN), crfasrnn_weights.pth, deeplabv3_mnv2_pascal_quant.tflite
(DeepLabV3-MobileNetV2), a state dict of torchvision's vgg16 or of a model of this package, or a checkpoint of it. Every
tensor is accounted for in a table; tensors that are missing or left over are an error unless they are accepted by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from crfrnn._command import description, exit_code, exit_with
from crfrnn._files import replacing
from crfrnn.data.listing import read_lines
from crfrnn.nets.weights.checkpoint import save_checkpoint
from crfrnn.nets.weights.conversion import Conversion, convert
from crfrnn.nets.weights.sources import Order


@dataclass(frozen=True)
class Options:
    source: tyro.conf.Positional[Path]
    """file of weights"""
    out: tyro.conf.Positional[Path]
    """file to write; it must not exist"""
    model: str | None = None
    """network to convert to, for example deeplab-largefov; without it, that of the file"""
    num_labels: int | None = None
    """number of labels; where the file has another, all but the label layers are kept"""
    classes: Path | None = None
    """file with the names of the labels, one a line; without it, those of VOC where there are 21"""
    width: float | None = None
    """factor on the channels of the network, for the weights of a narrower one"""
    order: Order | None = None
    """order of the colors a plain state dict was trained on, where its names do not tell"""
    accept_missing: tuple[str, ...] = ()
    """layers or tensors of the network that may stay as initialized"""
    accept_leftover: tuple[str, ...] = ()
    """layers or tensors of the file to leave out"""
    plain: tyro.conf.FlagCreatePairsOff[bool] = False
    """write a plain state dict instead of a checkpoint"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 2, with a line on stderr, where the file could not be converted."""
    options = tyro.cli(Options, args=argv, prog="python -m crfrnn.nets.convert", description=description(__doc__))
    return exit_code("crfrnn.nets.convert", lambda: run(options))


def run(options: Options) -> int:
    """Convert, print and write as `options` say. Raises OSError or ValueError where they cannot be followed."""
    check_out(options.out)
    result = convert(
        options.source,
        options.model,
        options.num_labels,
        width=options.width,
        classes=read_classes(options.classes),
        order=options.order,
        accept_missing=options.accept_missing,
        accept_left_over=options.accept_leftover,
    )
    print(report(result))
    if options.plain:
        save_state(options.out, result.model)
    else:
        save_checkpoint(options.out, result.model, architecture=result.architecture, classes=result.classes)
    print(f"{options.out}: {result.architecture['name']}, {result.architecture['num_labels']} labels")
    return 0


def check_out(out: Path) -> None:
    """Raise ValueError where `out` cannot be written without loss."""
    if out.exists():
        raise ValueError(f"{out} exists; choose another name, or remove it first")
    if not out.parent.is_dir():
        raise ValueError(f"there is no folder {out.parent} to write {out.name} to; make it first")


def read_classes(path: Path | None) -> list[str] | None:
    """The lines of a file, or None."""
    return None if path is None else read_lines(path)


def report(result: Conversion) -> str:
    """The table of what became of every tensor, and the notes, as lines of text."""
    header = ("in the file", "shape", "in the model", "what was done")
    widths = [max(map(len, column)) for column in zip(header, *result.table, strict=True)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        for row in (header, *result.table)
    ]
    lines.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join([*(line.rstrip() for line in lines), "", *result.notes])


def save_state(path: Path, model: torch.nn.Module) -> None:
    """Write the state dict of `model`, to a temporary name first: a file called `path` is always complete."""
    with replacing(path) as partial:
        torch.save(model.state_dict(), partial)


if __name__ == "__main__":
    exit_with(main)
