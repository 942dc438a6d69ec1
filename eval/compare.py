"""Show images under several networks and CRFs side by side: those that gain most, those in the middle, and those that lose.

python -m eval.compare --checkpoints FILE --data VOCdevkit --out DIR                     network, CRF and CRF-RNN
python -m eval.compare --checkpoints FCN-8s=A.pt DeepLab=B.pt --data VOCdevkit --out DIR \\
                       --columns "FCN-8s: network alone" "DeepLab: network + dense CRF"  two networks
python -m eval.compare --scores FILE.npz --data VOCdevkit --out DIR                      stored scores and a dense CRF

Into --out it writes index.html, one page with all pictures in it; best.png, median.png and worst.png, the same for
papers; and compare.json, the scores of every image, with compare-counts.npz for `eval.differences`. Each image has a
close-up of where the columns differ most near its borders.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from crfrnn._command import description, exit_code, exit_with
from crfrnn.folders import Folders
from crfrnn.presets import FixedCRF
from eval.pictures.formats import FigureFormat
from eval.scoring.tables import TableFile

if TYPE_CHECKING:
    from crfrnn.data import SegmentationSet
    from eval.gains import Result
    from eval.pictures.comparison import Comparison
    from eval.scoring.differences import Differences
    from eval.scoring.metrics import Scores
    from eval.scoring.systems import System

NAMES = {"all": "All images", "best": "Largest gain", "median": "Median gain", "worst": "Least gain"}


@dataclass(frozen=True)
class Options:
    out: Path
    """folder for the pages"""
    data: Path | None = None
    """folder of the data set (VOCdevkit, or MSRC-21), or the folders.json of a run"""
    folders: Annotated[Folders, tyro.conf.arg(name="")] = field(default_factory=Folders)
    checkpoints: tuple[str, ...] = ()
    """models, FILE or NAME=FILE; each gives the columns "network alone", "network + dense CRF" (the one below) and, where it
    has one, "CRF-RNN", after "NAME: " where it is given or there are several systems"""
    network: tuple[str, ...] = ()
    """the functions of yours that make the networks of the checkpoints, where they are not built-in ones, as in training"""
    scores: tuple[str, ...] = ()
    """stored scores of networks, FILE or NAME=FILE (see eval/inputs/scores_file.py); each gives the first two of
    these columns"""
    columns: tuple[str, ...] = ()
    """which of these columns to show, and in which order; all by default"""
    before: str | None = None
    """the gain of an image is its mean IoU in the column --after less that in this one; by default the first"""
    after: str | None = None
    """see --before; by default the last column"""
    split: Annotated[str, tyro.conf.arg(name="list")] = "val"
    """list of images: a name, or a file; in folders, train, val or all"""
    every: int = 1
    """take only every n-th image of the list"""
    count: int = 3
    """images of each kind: best, median, worst"""
    table: TableFile = None
    figures: FigureFormat = "png"
    dense_crf: FixedCRF = field(default_factory=FixedCRF)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = tyro.cli(Options, args=argv, prog="python -m eval.compare", description=description(__doc__))
    return exit_code("eval.compare", lambda: run(options, argv))


def run(options: Options, argv: list[str]) -> int:
    """Label, compare and save. Raises OSError or ValueError where the options cannot be followed."""
    from eval.gains import label_set, pick
    from eval.inputs.flags import check_counts, check_fixed_crf, check_folder
    from eval.scoring.differences import of_rows
    from eval.scoring.record import origin, write_json
    from eval.scoring.report import report, report_tables
    from eval.scoring.systems import check_columns
    from eval.scoring.tables import check_table, write_tables

    check_table(options.table)
    check_counts(1, count=options.count, every=options.every)
    check_fixed_crf("dense-crf.", options.dense_crf)
    check_folder("--out", options.out)
    dataset = open_data(options)
    systems = build_systems(options, dataset)
    columns = check_columns(systems, options.columns)
    before, after = options.before or columns[0], options.after or columns[-1]
    check_columns(systems, [before, after])
    scored = list(dict.fromkeys([*columns, before, after]))
    results, scores, counts = label_set(systems, dataset, range(0, len(dataset), options.every), scored)
    by_name = {result.name: result for result in results}
    gains = {result.name: result.mean_iou[after] - result.mean_iou[before] for result in results}
    sections = {
        kind: [comparison(by_name[name], dataset, columns, before, after) for name in names]
        for kind, names in pick(gains, options.count).items()
    }
    over = of_rows(counts, before)
    print(f"\n{len(results)} images of the list {options.split}, percent\n\n{report(scores, compared=[over])}\n")
    write_tables(options.table, report_tables(scores, compared=[over]))
    facts = origin("eval.compare", argv)
    save(options.out, sections, dataset.classes, scores, over, facts, (before, after), len(results), options.figures)
    record = options.out / "compare.json"
    counts.write(record)
    write_json(record, facts | as_json(results, gains, scores, before, after) | {"differences": [over.plain()]})
    return 0


def named(source: str, alone: bool) -> tuple[str, Path]:
    """Name and file of NAME=FILE, or of FILE, which has the name of the file, or none where it is `alone`."""
    name, _, file = source.rpartition("=")
    return name or ("" if alone else Path(file).stem), Path(file)


def open_data(options: Options) -> SegmentationSet:
    """The images of the list; labels in folders have the names that the first checkpoint has. Raises as `open_set`."""
    from crfrnn.data import open_set, source_of
    from crfrnn.nets import load_checkpoint

    first = [load_checkpoint(named(source, alone=True)[1])["classes"] for source in options.checkpoints[:1]]
    return open_set(source_of(options.data, options.folders, *first), options.split)


def build_systems(options: Options, dataset: SegmentationSet) -> list[System]:
    """The systems named on the command line. Raises ValueError where none is, and as each of them does."""
    from eval.inputs.checkpoints import networks_of
    from eval.scoring.systems import from_checkpoint, from_scores

    systems = []
    alone = len(options.checkpoints) + len(options.scores) == 1
    models = [named(source, alone) for source in options.checkpoints]
    networks = networks_of([file for _, file in models], options.network)
    for (name, file), network in zip(models, networks, strict=True):
        systems.append(from_checkpoint(name, file, dataset, options.dense_crf, network))
    for name, file in (named(source, alone) for source in options.scores):
        systems.append(from_scores(name, file, dataset, options.dense_crf))
    if not systems:
        raise ValueError("there is nothing to compare; wanted --checkpoints, --scores or both")
    return systems


def comparison(result: Result, dataset: SegmentationSet, columns: Sequence[str], before: str, after: str) -> Comparison:
    """A result with its pictures."""
    from eval.gains import close_up
    from eval.pictures.comparison import Comparison

    sample = dataset[result.index]
    size = (sample.labels.shape[0], sample.labels.shape[1])
    labels = {column: result.labels(column, size) for column in columns}
    window = close_up(result.labels(before, size), result.labels(after, size), sample.labels)
    gain = result.mean_iou[after] - result.mean_iou[before]
    return Comparison(result.name, sample.image, labels | {"truth": sample.labels}, result.mean_iou, gain, window)


def save(
    out: Path,
    sections: dict[str, list[Comparison]],
    classes: Sequence[str],
    scores: dict[str, Scores],
    over: Differences,
    facts: dict[str, Any],
    between: tuple[str, str],
    count: int,
    figures: str,
) -> None:
    """Write the figures and the page, and print where they are."""
    from crfrnn._files import replacing
    from eval.pictures.comparison import comparison_figure
    from eval.pictures.figures import save_figure
    from eval.pictures.page import comparison_page
    from eval.scoring.differences import show

    for kind, comparisons in sections.items():
        heading = f"{NAMES[kind]}: {between[1]} over {between[0]}, mean IoU of the single image in percent"
        file = out / f"{kind}.{figures}"
        save_figure(comparison_figure(comparisons, classes, heading), file)
        print(file)
    page = comparison_page(
        {NAMES[kind]: comparisons for kind, comparisons in sections.items()},
        classes,
        scores,
        differences={name: show(row["mean IoU"]) for name, row in over.rows.items()},
        title=f"{between[1]} and {between[0]}",
        count=count,
        before=between[0],
        after=between[1],
        facts={name: str(facts[name]) for name in ("command", "commit")},
    )
    with replacing(out / "index.html") as partial:
        partial.write_text(page, encoding="utf-8")
    print(out / "index.html")


def as_json(
    results: Sequence[Result], gains: dict[str, float], scores: dict[str, Scores], before: str, after: str
) -> dict[str, Any]:
    """The scores of the set and of every image, those with the largest gain first."""
    images = {result.name: {"gain": gains[result.name], "mean_iou": result.mean_iou} for result in results}
    return {
        "unit": "percent",
        "gain": f"{after} less {before}",
        "scores": {column: {"mean_iou": row.mean_iou, "classes": len(row.present)} for column, row in scores.items()},
        "images": dict(sorted(images.items(), key=lambda item: -gains[item[0]])),
    }


if __name__ == "__main__":
    exit_with(main)
