"""Train with every kind of annotation on one set of images, and compare: one table, with and without a CRF.

python -m train.weak_table --data VOCdevkit --init FILE --out runs/weak

Masks of train_aug are reduced to boxes, scribbles or image labels; mixtures keep the masks of 200 images. The runs are those
of train.run on the schedule of `voc_small`, each in a folder of its own in OUT. The same command, started again, keeps
finished runs and continues interrupted ones. Writes OUT/table.txt and OUT/table.json; `--only-table` shows what there is so
far.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from crfrnn._command import description, exit_code, exit_with
from crfrnn._files import claim, read_json, replacing
from eval.scoring.tables import Table, TableFile, check_table, write_tables
from train.recipes.limits import COUNT, check_number

SCORES = {"network alone": "network", "network + dense CRF": "with CRF"}

SMALL = shlex.split(
    """--network deeplab-largefov --input-scale 0.5 --val-images 50 --workers 1
    --stages.network.batch-size 2 --stages.network.schedule poly --stages.network.new-layers-multiplier 2
    --stages.network.last-layer-multiplier 5 --stages.network.warmup 20 --stages.network.scale 0.75 1.25
    --stages.network.freeze conv1 conv2 conv3 --stages.network.validate-every 500"""
)
"""What the recipes of the paper need to follow the schedule of voc_small."""


@dataclass(frozen=True)
class Row:
    """One run: its title, the recipe and what is changed in it, its lists by field, and the published figure."""

    title: str
    recipe: str
    changes: str
    lists: dict[str, str]
    published: str


def _image(method: str, published: str) -> Row:
    field = "stages.network.mixture.images"
    changes = f"--{field}.count 2 --{field}.e-step.method {method}"
    return Row(f"image labels, {method}", "weak_image", changes, {f"{field}.split": "all"}, published)


def _boxes(kind: str, published: str) -> Row:
    field = "stages.network.mixture.boxes"
    return Row(f"boxes, {kind}", f"weak_box_{kind}", f"--{field}.count 2", {f"{field}.split": "all"}, published)


def _scribbles(title: str, weight: float, published: str) -> Row:
    field = "stages.network.mixture.scribbles"
    changes = f"--{field}.count 2 --{field}.crf-loss.weight {weight}"
    return Row(title, "weak_scribble", changes, {f"{field}.split": "all"}, f"{published} (no CRF)")


def _mixed(title: str, recipe: str, source: str, changes: str, published: str) -> Row:
    field = "stages.network.mixture"
    counts = f"--{field}.masks.count 1 --{field}.{source}.count 1"
    lists = {f"{field}.masks.split": "strong", f"{field}.{source}.split": "weak"}
    return Row(title, recipe, f"{counts} {changes}", lists, published)


def _box_kind(kind: str) -> str:
    field = "stages.network.mixture.boxes"
    return f"--{field}.annotation pixels --{field}.masks {kind}"


ROWS = {
    "em-fixed": _image("em-fixed", "20.8"),
    "em-adapt": _image("em-adapt", "38.2"),
    "mil": _image("mil", "25.7 (test)"),
    "box-rect": _boxes("rect", "52.5"),
    "box-em": _boxes("em", "54.1"),
    "box-seg": _boxes("seg", "60.6"),
    "scribble": _scribbles("scribbles", 0, "55.8"),
    "scribble-crf": _scribbles("scribbles + dense CRF loss", 1, "62.3"),
    "strong": Row("200 masks", "voc_small", "--only network", {"train-list": "strong"}, "-"),
    "semi-image": _mixed("200 masks + image labels, em-fixed", "semi_image", "images", "", "47.6 (200)"),
    "semi-rect": _mixed("200 masks + boxes, rect", "semi_box", "boxes", _box_kind("rect"), "62.1 (1,464)"),
    "semi-em": _mixed("200 masks + boxes, em", "semi_box", "boxes", "", "64.8 (1,464)"),
    "semi-seg": _mixed("200 masks + boxes, seg", "semi_box", "boxes", _box_kind("seg"), "65.1 (1,464)"),
    "full": Row("all masks", "voc_small", "--only network", {"train-list": "all"}, "67.6"),
}
"""By folder. Published: mean IoU on val with a dense CRF, of networks trained on 10,582 images, in parentheses how many of
these have masks; facts of Papandreou et al. 2015 (arXiv 1502.02734). Those of scribbles are of Tang et al. 2018 (rloss)."""

KINDS = {"rect": "box", "seg": "box", "scribbles": "scribble"}
"""Of label maps to be made, the word in the names of the recipes that take them."""


@dataclass(frozen=True)
class Options:
    data: Path
    """folder of VOC (VOCdevkit)"""
    out: Path
    """folder of the runs"""
    init: str | None = None
    """weights to begin with, as --init of train.run"""
    rows: tuple[str, ...] = tuple(ROWS)
    """which runs, by folder; all by default"""
    steps: int = 2000
    """steps of every run, of two images each"""
    masks: int = 200
    """images with masks in mixtures"""
    val_list: str = "val"
    """list of images to score on: a name in ImageSets/Segmentation, or a file"""
    subset: tuple[str, ...] = ()
    """classes with a mean IoU of their own, beside the mean over all"""
    only_table: tyro.conf.FlagCreatePairsOff[bool] = False
    """train nothing"""
    table: TableFile = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 2 for bad input, that of a run that failed."""
    options = tyro.cli(Options, args=argv, prog="python -m train.weak_table", description=description(__doc__))
    return exit_code("train.weak_table", lambda: run(options))


def run(options: Options) -> int:
    """Make lists, targets and runs as far as they are not there, then the table. Raises OSError or ValueError."""
    check_table(options.table)
    check_number("steps", options.steps, COUNT)
    check_number("masks", options.masks, COUNT)
    from crfrnn.data import VOCSegmentation
    from eval.scoring.metrics import check_classes

    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        raise ValueError(f"there is no row {unknown[0]!r}; wanted some of {', '.join(ROWS)}")
    dataset = VOCSegmentation(options.data, "train_aug")
    check_classes(options.subset, dataset.classes)
    if not options.only_table:
        claim(options.out / "settings.json", settings(options, dataset.names))
    for command in [] if options.only_table else commands(options):
        print(shlex.join(command), flush=True)
        code = subprocess.run([sys.executable, *command[1:]], check=False).returncode
        if code:
            return code
    write_table(options)
    return 0


def settings(options: Options, names: Sequence[str]) -> dict[str, Any]:
    """What all rows of one folder have in common, given the names of train_aug."""
    return {
        "data": str(options.data.resolve()),
        "train_aug": list(names),
        "init": options.init,
        "steps": options.steps,
        "masks": options.masks,
        "val_list": options.val_list,
    }


def commands(options: Options) -> list[list[str]]:
    """What is still to be run, in order; the lists are written here."""
    from eval.scoring.report import JSON_NAME

    lists = write_lists(options)
    targets = str(options.out / "targets")
    data = ["--data", str(options.data)]
    left = {name: ROWS[name] for name in options.rows if not (options.out / name / JSON_NAME).exists()}
    found = []
    kinds = [kind for kind, word in KINDS.items() if any(word in row.recipe for row in left.values())]
    if kinds:
        found.append(
            ["python", "-m", "train.targets", *data, "--boxes", "regions", "--kinds", *kinds, "--out", targets]
        )
    for name, row in left.items():
        out = options.out / name
        command = ["python", "-m", "train.run", "--recipe", row.recipe, *data, "--targets", targets, "--out", str(out)]
        command += ["--init", options.init] if options.init else []
        command += ["--resume"] if (out / "recipe.json").exists() else []
        command += [*(SMALL if row.recipe != "voc_small" else []), *row.changes.split()]
        command += ["--stages.network.steps", str(options.steps), "--val-list", options.val_list]
        for field, split in row.lists.items():
            command += [f"--{field}", lists[split]]
        found.append(command)
    return found


def write_lists(options: Options) -> dict[str, str]:
    """The images that keep their masks in mixtures, evenly spaced in train_aug, and the others; names or files by kind."""
    from crfrnn.data import VOCSegmentation
    from eval.scoring.evaluate import evenly_spaced

    names = VOCSegmentation(options.data, "train_aug").names
    strong = evenly_spaced(names, options.masks)
    weak = [name for name in names if name not in set(strong)]
    if not weak:
        raise ValueError(
            f"train_aug has {len(names)} images, --masks is {options.masks}; wanted fewer, so that some are left"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    lists = {"all": "train_aug"}
    for kind, entries in (("strong", strong), ("weak", weak)):
        path = options.out / f"{kind}.txt"
        with replacing(path) as partial:
            partial.write_text("\n".join(entries) + "\n", encoding="utf-8")
        lists[kind] = str(path)
    return lists


def write_table(options: Options) -> None:
    """Print and write the table of the runs that have come to their end."""
    from eval.scoring.report import JSON_NAME

    results = {
        name: read_json(options.out / name / JSON_NAME)
        for name in options.rows
        if (options.out / name / JSON_NAME).exists()
    }
    header = ["percent"]
    for score in SCORES.values():
        header += [f"{score}\n21 classes", *([f"{score}\n{len(options.subset)} classes"] if options.subset else [])]
    rows = [
        [ROWS[name].title, *cells(result, options.subset), ROWS[name].published] for name, result in results.items()
    ]
    table = Table([*header, "published\nwith CRF"], rows)
    for file, content in (("table.txt", str(table)), ("table.json", json.dumps(results, indent=1))):
        with replacing(options.out / file) as partial:
            partial.write_text(content + "\n", encoding="utf-8")
    print(f"\n{table}\n\n{options.out / 'table.txt'}")
    write_tables(options.table, {"table": table})


def cells(result: dict[str, Any], classes: Sequence[str]) -> list[str]:
    """The numbers of one run: for network and CRF the mean over all classes, and over `classes` where there are some."""
    found = []
    for row in SCORES:
        scores = result["scores"][row]
        found.append(f"{scores['mean_iou']:.1f}")
        values = [scores["iou"][name] for name in classes if scores["iou"][name] is not None]
        if classes:
            found.append(f"{sum(values) / len(values):.1f}" if values else "-")
    return found


if __name__ == "__main__":
    exit_with(main)
