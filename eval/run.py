"""Score a checkpoint on a data set: its network alone, followed by a fixed dense CRF, and followed by its CRF-RNN.

python -m eval.run --checkpoint FILE --data VOCdevkit --list val --iterations 0 5 10 --out DIR
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from crfrnn._command import description, exit_code, exit_with
from crfrnn.folders import Folders
from crfrnn.presets import PARTS_CRF, FixedCRF
from eval.pictures.formats import FigureFormat
from eval.scoring.tables import TableFile

if TYPE_CHECKING:
    from crfrnn.data import SegmentationSet
    from crfrnn.nets import SegmentationModel
    from eval.scoring.methods import Method


@dataclass(frozen=True)
class Options:
    checkpoint: Path
    """file of the model"""
    data: Path | None = None
    """folder of the data set (VOCdevkit, or MSRC-21), or the folders.json of a run"""
    folders: Annotated[Folders, tyro.conf.arg(name="")] = field(default_factory=Folders)
    network: str | None = None
    """the function of yours that makes the network of the checkpoint, where it is not a built-in one, as in training"""
    split: Annotated[str, tyro.conf.arg(name="list")] = "val"
    """list of images: a name in ImageSets/Segmentation, or a file; in folders, train, val or all"""
    iterations: tuple[int, ...] = (0, 5, 10)
    """numbers of mean-field iterations T at which the CRF-RNN is scored"""
    subset: tuple[str, ...] = ()
    """classes whose mean IoU gets a column of its own; by default the parts, for a model of parts"""
    dense_crf: FixedCRF = field(default_factory=FixedCRF)
    """the fixed dense CRF: by default DeepLab's, and for a model of parts the one published for parts"""
    crf: tuple[Path, ...] = ()
    """files of CRF parameters from eval.tuning.search or eval.tuning.learn; each adds a row, named by its path"""
    crf_untrained: tyro.conf.FlagCreatePairsOff[bool] = False
    """score a CRF-RNN with its initial parameters too; done anyway where the checkpoint has no CRF"""
    out: Path | None = None
    """folder for scores.json, scores.txt and the counts of single images; without it, tables are only printed"""
    table: TableFile = None
    figures: FigureFormat = "png"
    every: int = 1
    """take only every n-th image of the list"""
    limit: int | None = None
    """stop after this many images"""
    pictures: int = 0
    """draw this many of the images with their labels into the figure pictures, in --out"""
    borders: tyro.conf.FlagCreatePairsOff[bool] = False
    """score bands of 1 to 40 pixels around the void borders of the truth (the figure trimap, in --out), and boundary IoU"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = tyro.cli(Options, args=argv, prog="python -m eval.run", description=description(__doc__))
    return exit_code("eval.run", lambda: run(options, shlex.join(["python", "-m", "eval.run", *argv])))


def run(options: Options, command: str) -> int:
    """Evaluate, print and save as `options` say. Raises OSError or ValueError where they cannot be followed."""
    from crfrnn.data import part_names
    from eval.inputs.checkpoints import check_labels, load_model, open_for, parts_of
    from eval.pictures.figures import Album, panel, save_figure
    from eval.scoring.borders import NO_BANDS, Borders, border_numbers, border_table, trimap_figure
    from eval.scoring.counts import ImageCounts
    from eval.scoring.differences import of_rows
    from eval.scoring.evaluate import all_of, evaluate, evenly_spaced
    from eval.scoring.metrics import check_classes
    from eval.scoring.report import report, report_tables, save_report
    from eval.scoring.tables import write_tables

    check_options(options)
    parts = parts_of(options.checkpoint)
    if parts is not None and options.dense_crf == FixedCRF():
        options = replace(options, dense_crf=PARTS_CRF)
    dataset = open_for(options.checkpoint, options.data, options.split, options.folders)
    subset = check_classes(options.subset or part_names(dataset), dataset.classes)
    model, classes = load_model(options.checkpoint, options.network)
    check_labels(options.checkpoint, classes, dataset)
    indices = list(range(0, len(dataset), options.every))[: options.limit]
    methods = build_methods(options, model, dataset.num_labels)
    album = Album(
        evenly_spaced([dataset.names[index] for index in indices], options.pictures), [m.rows[-1] for m in methods]
    )
    borders = Borders([row for method in methods for row in method.rows] if options.borders else [], dataset.classes)
    counts = ImageCounts(dataset.classes)
    scores = evaluate(model, dataset, methods, indices=indices, observer=all_of(album, borders, counts))
    compared = [of_rows(counts, methods[0].rows[0], subset)]
    print(f"{options.checkpoint} on {len(indices)} of the {len(dataset)} images in {options.split}, percent\n")
    tables = report_tables(scores, subset, compared)
    facts = describe(options, command, subset, model, dataset, len(indices))
    if options.borders:
        tables["borders"] = border_table(borders)
        facts["borders"] = border_numbers(borders)
    print("\n\n".join([report(scores, subset, compared), *([str(tables["borders"])] if options.borders else [])]))
    if options.borders and not borders.bands():
        print(f"\n{NO_BANDS}")
    write_tables(options.table, tables)
    if options.out is not None:
        save_report(options.out, scores, subset, facts, counts, compared)
        if options.borders and borders.bands():
            save_figure(trimap_figure(borders.bands()), options.out / f"trimap.{options.figures}")
        if options.pictures:
            save_figure(panel(album.examples, dataset.classes), options.out / f"pictures.{options.figures}")
    return 0


def check_options(options: Options) -> None:
    """Raise ValueError for numbers out of range, and where the results could not be written or would destroy others."""
    from eval.inputs.flags import check_counts, check_fixed_crf, check_folder
    from eval.scoring.report import JSON_NAME
    from eval.scoring.tables import check_table

    check_table(options.table)
    check_counts(1, every=options.every, limit=options.limit)
    check_counts(0, pictures=options.pictures, iterations=options.iterations)
    check_fixed_crf("dense-crf.", options.dense_crf)
    if len(set(options.crf)) < len(options.crf):
        raise ValueError(f"--crf is {' '.join(map(str, options.crf))}; wanted different files")
    if options.out is None:
        if options.pictures:
            raise ValueError("--pictures needs --out: the folder to write the figure to")
        return
    check_folder("--out", options.out)
    if (options.out / JSON_NAME).exists():
        raise ValueError(f"{options.out / JSON_NAME} exists; pass another folder as --out, or remove the old results")


def build_methods(options: Options, model: SegmentationModel, num_labels: int) -> list[Method]:
    """The ways of labeling, which are the rows of the table; their CRFs are on the device of the model."""
    from crfrnn import CRFRNN
    from eval.inputs.crf_file import read_crf
    from eval.scoring.methods import network_alone, with_crf

    device = next(model.parameters()).device
    dense = options.dense_crf.build(num_labels).to(device)
    methods = [network_alone(), with_crf(dense, {options.dense_crf.num_iterations: "network + dense CRF"})]
    for path in options.crf:
        crf = read_crf(path).to(device)
        if crf.num_labels != num_labels:
            raise ValueError(
                f"--crf {path} is over {crf.num_labels} labels, the data set has {num_labels}; wanted equal"
            )
        methods.append(with_crf(crf, {crf.num_iterations: f"network + {path}"}))
    if options.crf_untrained or model.crf is None:
        untrained = CRFRNN(num_labels).to(device)
        rows = {t: f"network + untrained CRF-RNN T={t}" for t in options.iterations}
        methods.append(with_crf(untrained, rows))
    if model.layer is not None:
        methods.append(with_crf(model.layer, {t: f"CRF-RNN T={t}" for t in options.iterations}))
    return methods


def describe(
    options: Options,
    command: str,
    subset: Sequence[str],
    model: SegmentationModel,
    dataset: SegmentationSet,
    images: int,
) -> dict[str, Any]:
    """What is needed to reproduce the numbers, for the JSON file."""
    import torch

    from eval.scoring.record import commit, hardware

    return {
        "command": command,
        "commit": commit(),
        "torch": torch.__version__,
        "hardware": hardware(next(model.parameters()).device),
        "checkpoint": str(options.checkpoint),
        "data": str(options.data or options.folders.images),
        "list": options.split,
        "images": images,
        "images_in_list": len(dataset),
        "subset": list(subset),
        "dense_crf": asdict(options.dense_crf),
    }


if __name__ == "__main__":
    exit_with(main)
