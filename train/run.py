"""Train a network, the parameters of a CRF-RNN on it, or both jointly, in the stages of a recipe.

python -m train.run                                                              the toy recipe, minutes on a CPU
python -m train.run --recipe voc --data VOCdevkit --init FILE --out DIR          PASCAL VOC
python -m train.run --recipe DIR/recipe.json --data VOCdevkit --out OTHER        a run again
python -m train.run --resume --data VOCdevkit --out DIR                          an interrupted run, to its end
python -m train.run --recipe voc --help                                          every field of a recipe
torchrun --nproc-per-node 4 --max-restarts 3 -m train.run --recipe voc --data VOCdevkit --init FILE --out DIR
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from crfrnn._command import exit_code
from crfrnn.data import make_toy, open_set
from train.distributed import Processes, own_device, processes
from train.dry import dry_run
from train.finish import finish
from train.folder import LAST, free_folder, open_folder, plain
from train.interrupt import Interrupted, Stop
from train.loop import Training
from train.mixture import open_sets
from train.options import Options, parse
from train.start import start_model
from train.state import Run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 2 for bad input, 128 + N where signal N stopped it."""
    argv = sys.argv[1:] if argv is None else list(argv)
    return exit_code("train.run", lambda: start(argv))


def start(argv: list[str]) -> int:
    """Join the other processes and do what `argv` asks for. Raises as its parts do."""
    name, options = parse(argv)
    device = own_device()
    with processes(device) as group:
        stop = Stop(patient=group.launched)
        try:
            with stop.watching():
                if options.dry_run:
                    return dry_run(options, device, group, stop, argv, train)
                return train(options, options.out or default_folder(name, group), device, group, stop, argv)
        except Interrupted as interrupted:
            print(f"train.run: {interrupted}", file=sys.stderr)
            return interrupted.exit_code


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
        raise ValueError("--resume needs --out: the folder of the run to go on with")
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
            where = f"; go on with --resume --out {out}" if (out / LAST).exists() else ""
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


if __name__ == "__main__":
    sys.exit(main())
