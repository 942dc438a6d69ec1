"""A run from its options to its table: the stages one after the other, each from where it stands."""

import json
import sys
import time
from pathlib import Path

import torch

from crfrnn.data import make_toy, open_set
from train.distributed import Processes, own_device, processes
from train.dry import dry_options, dry_report
from train.finish import finish
from train.folder import LAST, free_folder, open_folder, plain
from train.interrupt import Interrupted, Stop
from train.options import Options
from train.start import start_model
from train.state import Run
from train.steps.loop import Training
from train.steps.mixture import open_sets


def start(name: str, options: Options, argv: list[str]) -> int:
    """Join the other processes and do what `options` ask for. Raises as its parts do."""
    device = own_device()
    with processes(device) as group:
        stop = Stop(patient=group.launched)
        try:
            with stop.watching():
                if options.dry_run:
                    return rehearse(options, device, group, stop, argv)
                return train(options, options.out or default_folder(name, group), device, group, stop, argv)
        except Interrupted as interrupted:
            print(f"train.run: {interrupted}", file=sys.stderr)
            return interrupted.exit_code


def rehearse(options: Options, device: torch.device, group: Processes, stop: Stop, argv: list[str]) -> int:
    """A dry run. Raises as a run does."""
    short = dry_options(options, device, group)
    assert short.out is not None
    began = time.perf_counter()
    code = train(short, short.out, device, group, stop, argv)
    if group.is_main:
        print(dry_report(short.out, time.perf_counter() - began, device))
    return code


def train(options: Options, out: Path, device: torch.device, group: Processes, stop: Stop, argv: list[str]) -> int:
    """Run the stages that `options` ask for and show what came out. Raises as its parts do."""
    recipe = options.recipe
    data = options.data or make_toy(Path("runs") / "toy-data")
    validation = open_set(data, recipe.val_list, recipe.parts, recipe.coco_labels)
    # Where all batches come from lists of their own, there may be no masks for a training list.
    listed = recipe.crf.compatibility == "adjacency" or not all(stage.mixture for stage in recipe.stages.values())
    dataset = open_set(data, recipe.train_list, recipe.parts, recipe.coco_labels) if listed else validation
    sets = open_sets(recipe, dataset, data, options.coco, options.targets)
    run = Run(recipe, dataset, validation, out, device, group, stop, sets, final_images=2 if options.dry_run else None)
    check_stages(options)
    if options.resume and options.out is None:
        raise ValueError("--resume needs --out: the folder of the run to continue")
    last = open_folder(out, recipe, options.resume or group.restarts > 0) if group.is_main else None
    group.wait()
    if not group.is_main:
        last = open_folder(out, recipe, resume=True)
    else:
        print(json.dumps(plain(recipe), indent=2))
    for name in options.only or recipe.stages:
        if (out / f"{name}.pt").exists():
            continue
        model = start_model(run, name, options.init)
        state = None
        if last is not None and last["training"]["stage"] == name:
            model.load_state_dict(last["model"])
            state = last["training"]
        try:
            Training(run, name, model, state).finish()
        except Interrupted as interrupted:
            where = f"; continue with --resume --out {out}" if (out / LAST).exists() else ""
            raise Interrupted(interrupted.number, f" in stage {name!r}{where}") from interrupted
    finish(run, argv)
    return 0


def check_stages(options: Options) -> None:
    """Raise ValueError for stages that the recipe does not have."""
    unknown = [name for name in options.only if name not in options.recipe.stages]
    if unknown:
        raise ValueError(f"there is no stage {unknown[0]!r}; the stages are {', '.join(options.recipe.stages)}")


def default_folder(name: str, group: Processes) -> Path:
    """A new folder. Raises ValueError under torchrun, where a restarted process could not find it again."""
    if group.launched:
        raise ValueError("torchrun needs --out: the folder of the run, so that restarted processes find it again")
    return free_folder(name)
