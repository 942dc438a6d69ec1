"""A run from its options to its table: checks first, then the stages one after the other, each from where it stands."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import reduce
from pathlib import Path
from typing import Any

import torch

from crfrnn.data import FolderSegmentation, FolderSet, make_toy, open_set, source_of
from crfrnn.data.folders import write_folder_set
from crfrnn.folders import Folders
from crfrnn.nets import SegmentationModel
from eval.scoring.tables import check_table
from train.board.overview import write_overview
from train.checks import check_images, check_run
from train.checks.prerequisites import check_prerequisites
from train.distributed import Processes, own_device, processes
from train.dry import dry_folder, dry_report, ends_of_lists, rehearsal
from train.finish import finish
from train.folder import (
    BOARD,
    FOLDERS,
    LAST,
    OVERVIEW,
    command,
    continuing,
    differences,
    free_folder,
    open_folder,
    plain,
)
from train.interrupt import Interrupted, Stop
from train.options import RECIPE, Options, starting_recipe
from train.start import start_model
from train.state import Run
from train.steps.loop import Training
from train.steps.memory import Memory
from train.steps.mixture import open_sets


def start(name: str, options: Options, argv: list[str], memory: Memory | None = None) -> int:
    """Join the other processes and do what `options` ask for, with what `memory` holds. Raises as its parts do."""
    check_options(options)
    device = own_device()
    with processes(device) as group:
        stop = Stop(patient=group.launched)
        try:
            with stop.watching(), folder(name, options, group) as out:
                run = open_run(options, out, device, group, stop)
                run.memory = memory or run.memory
                return check_and_train(run, options, argv)
        except Interrupted as interrupted:
            print(f"train.run: {interrupted}", file=sys.stderr)
            return interrupted.exit_code


def check_options(options: Options) -> None:
    """Raise ValueError for stages that the recipe does not have, and for a run to continue that is not named."""
    unknown = [name for name in options.only if name not in options.recipe.stages]
    if unknown:
        raise ValueError(f"there is no stage {unknown[0]!r}; the stages are {', '.join(options.recipe.stages)}")
    if options.resume and options.out is None:
        raise ValueError("--resume needs --out: the folder of the run to continue")
    check_table(options.table)


@contextmanager
def folder(name: str, options: Options, group: Processes) -> Iterator[Path]:
    """The folder to write into; a new one is removed again where nothing was written.

    Raises ValueError under torchrun, where the other processes could not find a new one.
    """
    if options.out is None and group.launched:
        raise ValueError(
            "torchrun needs --out: the folder of the run, so that all processes find it, and find it again"
        )
    out = dry_folder(options.out, group) if options.dry_run else options.out or free_folder(name)
    try:
        yield out
    finally:
        if options.out is None:
            with suppress(OSError):  # they are not empty
                out.rmdir()
                out.parent.rmdir()


def open_run(options: Options, out: Path, device: torch.device, group: Processes, stop: Stop) -> Run:
    """The run with its data sets. Raises as these do."""
    recipe = options.recipe
    data = data_of(options, out)
    started = options.resume and (out / f"{next(iter(recipe.stages))}.pt").exists()
    check_prerequisites(options, data, started)
    data = data or make_toy(Path("runs") / "toy-data")
    validation = open_set(data, recipe.val_list, recipe.parts, recipe.coco_labels)
    # Where all batches come from lists of their own, there may be no masks for a training list.
    listed = recipe.crf.compatibility == "adjacency" or not all(stage.mixture for stage in recipe.stages.values())
    dataset = open_set(data, recipe.train_list, recipe.parts, recipe.coco_labels) if listed else validation
    sets = open_sets(recipe, dataset, data, options.coco, options.targets)
    return Run(
        recipe,
        dataset,
        validation,
        out,
        device,
        group,
        stop,
        sets,
        init=options.init,
        table=options.table,
        figures=options.figures,
    )


def data_of(options: Options, out: Path) -> Path | FolderSet | None:
    """The data that a run is over: --data, folders of the user, those that a resumed run has noted; None for the toy set.

    Raises as `source_of`.
    """
    if options.data is None and options.folders == Folders():
        noted = out / FOLDERS
        return noted if options.resume and noted.exists() else None
    return source_of(options.data, options.folders)


def check_and_train(run: Run, options: Options, argv: list[str]) -> int:
    """Check the run as a whole, then do it, or rehearse it. Raises as its parts do."""
    resume = not options.dry_run and (options.resume or run.group.restarts > 0)
    names = [name for name in options.only or run.recipe.stages if not (run.out / f"{name}.pt").exists()]
    check_run(run, names, options.init, resume)
    made = {name: start_model(run, name, options.init) for name in names[:1]}
    if not (resume and (run.out / LAST).exists()):
        check_images(run, names)
    if not options.dry_run:
        return train(run, names, made, options.init, resume, argv)
    if run.group.is_main:
        print(ends_of_lists(run))
    began = time.perf_counter()
    code = train(rehearsal(run), names, made, options.init, resume, argv)
    if run.group.is_main:
        print(dry_report(run.out, time.perf_counter() - began, run.device))
    return code


def train(
    run: Run, names: Sequence[str], made: dict[str, SegmentationModel], init: str | None, resume: bool, argv: list[str]
) -> int:
    """Run the stages `names`, with the models that are `made` already, and show what came out. Raises as its parts do."""
    last = open_folder(run.out, run.recipe, resume) if run.group.is_main else None
    if run.group.is_main and isinstance(run.validation, FolderSegmentation):
        write_folder_set(run.out / FOLDERS, run.validation.source)
    run.group.wait()
    if not run.group.is_main:
        last = open_folder(run.out, run.recipe, resume=True)
    else:
        print(headline(run, argv))
        write_overview(run.out / BOARD / OVERVIEW, plain(run.recipe), command(argv))
    interrupted = interrupted_stage(run, last)
    for name in names:
        model = made.pop(name, None) or start_model(run, name, init)
        try:
            Training(run, name, model, last if name == interrupted else None).finish()
        except Interrupted as signal:
            where = f"; continue with --resume --out {run.out}" if (run.out / LAST).exists() else ""
            raise Interrupted(signal.number, f" in stage {name!r}{where}") from signal
    finish(run, argv)
    return 0


def headline(run: Run, argv: list[str]) -> str:
    """The recipe by name, what this run changes in it, and where all its fields are."""
    name, recipe, _ = starting_recipe(argv)
    before, now = plain(recipe), plain(run.recipe)
    lines = [f"recipe {name}; all fields are in {run.out / RECIPE}"]
    for path in differences(now, before):
        was, value = (reduce(lambda part, key: part.get(key, {}), path.split("."), each) for each in (before, now))
        lines.append(f"  {path}: {json.dumps(value)} (in the recipe {json.dumps(was)})")
    return "\n".join(lines)


def interrupted_stage(run: Run, last: Mapping[str, Any] | None) -> str | None:
    """The stage that the last checkpoint of a run is from. Raises ValueError where it labels other things."""
    if last is None:
        return None
    with continuing(run.out / LAST):
        if list(last["classes"]) != list(run.dataset.classes):
            raise ValueError("it was trained on other labels than those of --data")
        return last["training"]["stage"]
