"""Draw the iterations of mean field: score and belief maps of a label for the network and after every iteration.

python -m eval.beliefs IMAGE --label NAME --checkpoint FILE --out DIR              the CRF-RNN of a checkpoint
python -m eval.beliefs IMAGE --label NAME --scores FILE.npz --truth MASK --out DIR stored scores, and a fixed dense CRF
python -m eval.beliefs IMAGE --label NAME --checkpoint FILE --data RUN/folders.json --out DIR

For IMAGE.jpg it writes IMAGE_NAME.png, all iterations side by side with color bars and curves (change of the beliefs, free
energy, mean IoU where --truth, --data or --masks gives a mask), and IMAGE_NAME.gif, the same as an animation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from crfrnn._command import description, exit_code, exit_with
from crfrnn.folders import Folders
from crfrnn.presets import FixedCRF
from eval.pictures.formats import FigureFormat
from eval.scoring.tables import Table, TableFile

if TYPE_CHECKING:
    from torch import Tensor

    from eval.pictures.iterations import Iterations

FRAME_MS, LAST_FRAME_MS = 700, 2500


@dataclass(frozen=True)
class Options:
    image: tyro.conf.Positional[Path]
    """the photograph"""
    label: tuple[str, ...]
    """classes to draw; each gets files of its own"""
    checkpoint: Path | None = None
    """file of a model; where it has no CRF, its scores are followed by the dense CRF below"""
    network: str | None = None
    """the function of yours that makes the network of the checkpoint, where it is not a built-in one, as in training"""
    scores: Path | None = None
    """stored scores instead, .npy or .npz (see eval/inputs/scores_file.py), found by the name of the photograph"""
    truth: Path | None = None
    """mask of the photograph, a palette PNG"""
    data: Path | None = None
    """instead of --truth: the folders.json of a run, in whose masks that of the photograph is found by its name"""
    folders: Annotated[Folders, tyro.conf.arg(name="")] = field(default_factory=Folders)
    """likewise; --classes alone names the labels in --scores, which are otherwise those of VOC"""
    iterations: int = 10
    """mean-field iterations T"""
    dense_crf: FixedCRF = field(default_factory=FixedCRF)
    out: Path = Path()
    """folder for the pictures"""
    animation: Literal["gif", "webp"] = "gif"
    """format of the animation"""
    tensorboard: Path | None = None
    """also write maps and curves for TensorBoard into this folder, with the iteration as the step"""
    table: TableFile = None
    figures: FigureFormat = "png"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = tyro.cli(Options, args=argv, prog="python -m eval.beliefs", description=description(__doc__))
    return exit_code("eval.beliefs", lambda: run(options))


def run(options: Options) -> int:
    """Run mean field, draw and save. Raises OSError or ValueError where the options cannot be followed."""
    from eval.inputs.flags import check_counts, check_fixed_crf, check_folder
    from eval.inputs.scored_photo import check_source, read_scored_photo
    from eval.pictures.belief_maps import belief_figure, frames, write_iterations
    from eval.pictures.figures import overlay, save_figure
    from eval.pictures.iterations import watch
    from eval.scoring.metrics import check_classes
    from eval.scoring.tables import check_table, write_tables

    check_source(options.checkpoint, options.scores, options.network)
    if not options.label:
        raise ValueError("--label names no class; wanted one or more")
    check_table(options.table)
    check_counts(0, iterations=options.iterations)
    check_fixed_crf("dense-crf.", options.dense_crf)
    check_folder("--out", options.out)
    if options.tensorboard is not None:
        check_folder("--tensorboard", options.tensorboard)
    scored = read_scored_photo(
        options.image,
        options.dense_crf,
        checkpoint=options.checkpoint,
        network=options.network,
        scores=options.scores,
        truth=options.truth,
        data=options.data,
        folders=options.folders,
    )
    photo, unary, classes, truth = scored.photo, scored.unary, scored.classes, scored.truth
    check_classes(options.label, classes)
    seen = watch(scored.crf, unary, photo[None].to(unary), classes, options.label, options.iterations, truth)
    painted = None if truth is None else overlay(photo, truth, classes)
    for label in options.label:
        name = f"{options.image.stem}_{label}".replace("/", "-")
        picture, animation = (options.out / f"{name}.{suffix}" for suffix in (options.figures, options.animation))
        save_figure(belief_figure(photo, seen, label, painted), picture)
        save_animation(list(frames(photo, seen, label)), animation)
        print(f"{picture}  {animation}")
    if options.tensorboard is not None:
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(options.tensorboard)) as writer:
            write_iterations(writer, options.image.stem, photo, seen)
        print(f"tensorboard --samples_per_plugin images=100 --logdir {options.tensorboard}")
    curves = table(seen)
    print(f"\n{curves}")
    write_tables(options.table, {"iterations": curves})
    return 0


def save_animation(pictures: Sequence[Tensor], path: Path) -> None:
    """Write uint8 pictures [3, h, w] of one size as an animation that repeats forever, in the format of the suffix."""
    from einops import rearrange
    from PIL import Image

    from crfrnn._files import replacing

    images = [Image.fromarray(rearrange(picture, "c h w -> h w c").numpy()) for picture in pictures]
    durations = [FRAME_MS] * (len(images) - 1) + [LAST_FRAME_MS]
    with replacing(path) as partial:
        images[0].save(
            partial,
            format=path.suffix[1:],
            save_all=True,
            append_images=images[1:],
            duration=durations,
            loop=0,
            quality=85,
        )


def table(seen: Iterations) -> Table:
    """The curves as a table of numbers."""
    header = ["iteration", "largest\nchange", "mean\nchange", "free energy\nper pixel"]
    columns = [seen.largest_change, seen.mean_change, seen.free_energy]
    if seen.mean_iou:
        header.append("mean IoU,\npercent")
        columns.append(seen.mean_iou)
    rows = [
        [str(t), *("-" if math.isnan(value) else f"{value:.5g}" for value in values)]
        for t, values in enumerate(zip(*columns, strict=True))
    ]
    return Table(header, rows)


if __name__ == "__main__":
    exit_with(main)
