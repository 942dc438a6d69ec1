"""The command line of train.run: where things are, and every field of a recipe."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from crfrnn._command import description
from crfrnn.folders import Folders
from eval.pictures.formats import FigureFormat
from eval.scoring.tables import TableFile
from train.recipes import RECIPES, Recipe
from train.recipes.limits import check_recipe
from train.recipes.order import follow
from train.recipes.reading import read_recipe

RECIPE = "recipe.json"  # in the folder of a run
FIELDS = f"""--recipe NAME says what the fields below start from: one of {", ".join(RECIPES)}, or the recipe.json of a run;
without it, toy."""


@dataclass(frozen=True)
class Options:
    """Where things are; the fields of the recipe follow."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    folders: Annotated[Folders, tyro.conf.arg(name="")] = field(default_factory=Folders)
    data: Path | None = None
    """folder of the data set (VOCdevkit, or MSRC-21), or the folders.json of a run; without it and --images,
    the toy data set is generated"""
    coco: Path | None = None
    """folder of COCO, for recipes with sources from it"""
    targets: Path | None = None
    """folder of label maps made from boxes (train.targets), for recipes with such sources"""
    init: str | None = None
    """weights to begin with: a checkpoint (FILE.pt), or those of ImageNet for the trunk: "imagenet" or "imagenet-v1" for
    torchvision's, or a file"""
    out: Path | None = None
    """folder of this run, one that all processes see; the next free runs/NAME-1, -2, ... by default"""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """continue the run in --out"""
    only: tuple[str, ...] = ()
    """names of the stages to run; all by default"""
    table: TableFile = None
    figures: FigureFormat = "png"
    dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
    """check everything that a run checks first, then take two steps of every stage and score two images, in a folder of its
    own: shows memory, and leaves one of everything to look at"""


def parse(argv: Sequence[str], about: str | None = None) -> tuple[str, Options]:
    """The name of the recipe and the options, given what --help says about the command.

    With --resume, the recipe of the run in --out is where its fields start.
    """
    name, recipe, rest = starting_recipe(argv)
    default = Options(recipe=recipe)
    text = f"{description(about)}\n\n{FIELDS}"
    options = tyro.cli(Options, args=rest, default=default, prog="python -m train.run", description=text)
    options = replace(options, recipe=follow(options.recipe, recipe))
    check_recipe(options.recipe)
    check_networks(options.recipe, rest)
    return name, options


def starting_recipe(argv: Sequence[str]) -> tuple[str, Recipe, list[str]]:
    """The recipe that a command line starts from, by name, and the arguments that change it."""
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument("--recipe")
    chosen, rest = chooser.parse_known_args(argv)
    return *find_recipe(chosen.recipe, resumed(rest)), rest


def own_networks(recipe: Recipe) -> dict[str, str]:
    """The networks of a recipe that are functions of the user's, by the flag that names them."""
    named = {"--network": recipe.network}
    named |= {f"--stages.{name}.network": stage.network for name, stage in recipe.stages.items() if stage.network}
    return {flag: given for flag, given in named.items() if ":" in given}


def check_networks(recipe: Recipe, argv: Sequence[str]) -> None:
    """Raise ValueError where a recipe names code of the user's that the command line does not name."""
    for flag, given in own_networks(recipe).items():
        if not any(argument == given or argument.endswith(f"={given}") for argument in argv):
            raise ValueError(
                f"the recipe has the network {given}: code of yours, which runs only where the command names it; add "
                f"{flag} {given}"
            )


def resumed(argv: Sequence[str]) -> Path | None:
    """The recipe.json of the run to continue, where there is one."""
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument("--resume", action="store_true")
    chooser.add_argument("--out", type=Path)
    chosen, _ = chooser.parse_known_args(argv)
    if not chosen.resume or chosen.out is None or not (chosen.out / RECIPE).exists():
        return None
    return chosen.out / RECIPE


def find_recipe(wanted: str | None, of_run: Path | None) -> tuple[str, Recipe]:
    """A recipe by name or file, and its name. Raises ValueError or FileNotFoundError where there is none."""
    if wanted is None and of_run is not None:
        wanted = str(of_run)
    wanted = wanted or "toy"
    if wanted in RECIPES:
        return wanted, RECIPES[wanted]
    if not wanted.endswith(".json"):
        raise ValueError(f"there is no recipe {wanted!r}; wanted one of {', '.join(RECIPES)}, or a recipe.json")
    return Path(wanted).resolve().parent.name, read_recipe(Path(wanted))


def shortened(recipe: Recipe, batch: int | None) -> Recipe:
    """The recipe of a dry run: two steps a stage, everything written, images of at most `batch` a step."""
    stages = {}
    for name, stage in recipe.stages.items():
        if batch is not None:
            most = batch * stage.accumulate
            mixture = {source: replace(it, count=most) for source, it in stage.mixture.items()}
            stage = replace(stage, batch_size=most * len(mixture) or min(stage.batch_size, most), mixture=mixture)
        stages[name] = replace(stage, steps=2, save_every=1, keep_every=2, validate_every=0, warmup=0)
    return replace(recipe, stages=stages, val_images=2)
