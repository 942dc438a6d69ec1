"""Train a network, then the network and a CRF-RNN jointly.

python -m train.run                                                              the toy recipe, minutes on a CPU
python -m train.run --recipe voc --data VOCdevkit --init FILE --out DIR          PASCAL VOC
python -m train.run --recipe voc --help                                          every field of a recipe
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.data import VOCSegmentation, make_toy
from crfrnn.nets import SegmentationModel, build_model, load_checkpoint, load_imagenet
from eval.command import exit_code
from train.finish import finish
from train.loop import Run, train_stage
from train.recipes import RECIPES, Crf, Recipe

StageName = Literal["network", "joint"]

DESCRIPTION = f"""Train a network, then the network and a CRF-RNN jointly. --recipe NAME, one of {", ".join(RECIPES)}, says
what the fields below start from; without it that is the toy recipe."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Where things are; the fields of the recipe follow."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    data: Path | None = None
    """folder of the data set (VOCdevkit); without it, the toy data set is generated"""
    init: str | None = None
    """ImageNet weights of the trunk: "imagenet" for torchvision's, or a file"""
    out: Path | None = None
    """folder of this run; the next free runs/NAME-1, -2, ... by default"""
    resume: bool = False
    """go on with the run in --out"""
    stages: tuple[StageName, ...] = ("network", "joint")
    """which stages to run; "network" alone stops before the joint one"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    name, options = parse(argv)
    return exit_code("train.run", lambda: train(name, options, argv))


def train(name: str, options: Options, argv: list[str]) -> int:
    """Run the stages that `options` ask for and show what came out. Raises as its parts do."""
    recipe = options.recipe
    data = options.data or make_toy(Path("runs") / "toy-data")
    dataset, validation = VOCSegmentation(data, recipe.train_list), VOCSegmentation(data, recipe.val_list)
    out, last = open_run(options, name)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    architecture = {
        "name": recipe.network,
        "num_labels": dataset.num_labels,
        "width": recipe.width,
        "dropout": recipe.dropout,
        "input_scale": recipe.input_scale,
    }
    run = Run(recipe, dataset, architecture, out, device)
    for stage in options.stages:
        if (out / f"{stage}.pt").exists():
            continue
        model = start_model(run, stage, options.init)
        state = None
        if last is not None and last["training"]["stage"] == stage:
            model.load_state_dict(last["model"])
            state = last["training"]
        train_stage(run, model, stage, getattr(recipe, f"{stage}_stage"), state)
    finish(run, validation, argv)
    return 0


def parse(argv: list[str]) -> tuple[str, Options]:
    """The name of the recipe and the options, with every field of the recipe overridable."""
    chooser = argparse.ArgumentParser(add_help=False)
    chooser.add_argument("--recipe", default="toy", choices=sorted(RECIPES))
    chosen, rest = chooser.parse_known_args(argv)
    default = Options(recipe=RECIPES[chosen.recipe])
    options = tyro.cli(Options, args=rest, default=default, prog="python -m train.run", description=DESCRIPTION)
    return chosen.recipe, options


def open_run(options: Options, name: str) -> tuple[Path, dict | None]:
    """The folder of the run with its recipe in recipe.json, and the last checkpoint of a resumed one (or None)."""
    if options.resume and options.out is None:
        raise ValueError("--resume needs --out: the folder of the run to go on with")
    out = options.out or next(p for i in range(1, 10_000) if not (p := Path("runs") / f"{name}-{i}").exists())
    description = out / "recipe.json"
    wanted = json.loads(json.dumps(dataclasses.asdict(options.recipe)))
    if description.exists():
        if not options.resume:
            raise ValueError(f"{out} already holds a run; pass --resume to go on with it, or another --out")
        found = json.loads(description.read_text())
        different = [key for key in wanted if wanted[key] != found.get(key)]
        if different:
            raise ValueError(f"the run in {out} has another recipe: {', '.join(different)} differ; see {description}")
    else:
        out.mkdir(parents=True, exist_ok=True)
        description.write_text(json.dumps(wanted, indent=2) + "\n")
    last = out / "last.pt"
    return out, load_checkpoint(last) if last.exists() else None


def start_model(run: Run, stage: str, init: str | None) -> SegmentationModel:
    """The model as it enters `stage`: freshly initialised, or the trained network with a new CRF-RNN on top."""
    torch.manual_seed(run.recipe.seed)
    crf = build_crf(run.recipe.crf, run.dataset.num_labels) if stage == "joint" else None
    model = build_model(**run.architecture, crf=crf)
    if stage == "joint":
        trained = load_checkpoint(run.out / "network.pt")["model"]
        model.load_state_dict(trained, strict=False)
    elif init is not None:
        load_imagenet(model.network, init)  # type: ignore[arg-type]
    for parameter_name, parameter in model.network.named_parameters():
        if parameter_name.startswith(run.recipe.freeze):
            parameter.requires_grad_(False)
    return model.to(run.device, memory_format=torch.channels_last)


def build_crf(settings: Crf, num_labels: int) -> CRFRNN:
    """The CRF-RNN a recipe describes."""
    kernels = [
        smoothness_kernel(theta_gamma=settings.theta_gamma, weight=settings.smoothness_weight),
        appearance_kernel(
            theta_alpha=settings.theta_alpha, theta_beta=settings.theta_beta, weight=settings.appearance_weight
        ),
    ]
    return CRFRNN(
        num_labels, kernels=kernels, num_iterations=settings.num_iterations, kernel_weights=settings.kernel_weights
    )


if __name__ == "__main__":
    sys.exit(main())
