"""What a run needs and does not have, said in one message before anything is made, downloaded or loaded."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from crfrnn.data import FolderSet, look_for
from crfrnn.data.listing import origin_of
from crfrnn.nets import look_for_weights
from train.options import Options
from train.recipes import Recipe, Source
from train.steps.mixture import look_for_folders, look_for_source

TOY_LISTS = ("train", "val")
"""lists of the generated data set, which a run takes where no data are named"""


def check_prerequisites(options: Options, data: Path | FolderSet | None, started: bool) -> None:
    """Raise FileNotFoundError that names all that is missing: data, lists, label maps, weights, packages that read them.

    `data` is None where pictures are to be generated; a run that has `started` has no use for --init any more.
    """
    missing: dict[str, None] = {}
    for look in looks(options, data, started):
        try:
            look()
        except (FileNotFoundError, ImportError) as error:
            missing[str(error)] = None
    if len(missing) == 1:
        raise FileNotFoundError(*missing)
    if missing:
        numbered = "; ".join(f"({number}) {text}" for number, text in enumerate(missing, start=1))
        raise FileNotFoundError(f"{len(missing)} things are missing: {numbered}")


def looks(options: Options, data: Path | FolderSet | None, started: bool) -> Iterator[Callable[[], None]]:
    """Functions that look for one thing each and raise FileNotFoundError or ImportError where it is not there."""
    recipe = options.recipe
    for split in lists_with_masks(recipe):
        if data is None:
            yield partial(look_among_toys, split, recipe)
        else:
            yield partial(look_for, data, split, recipe.parts)
    for source in other_sources(recipe):
        if data is not None or source.data == "coco":
            yield partial(look_for_source, source, data or Path(), options.coco, options.targets)
        else:
            yield partial(look_among_toys, source.split, recipe)
            yield partial(look_for_folders, source, Path("VOCdevkit"), options.coco, options.targets)
    if options.init is not None and not started:
        yield partial(look_for_weights, options.init)
    if any(source.data == "coco" for source in other_sources(recipe)):
        yield partial(look_for_package, "pycocotools", "coco")
    if recipe.parts.wanted:
        yield partial(look_for_package, "scipy", "parts")


def lists_with_masks(recipe: Recipe) -> list[str]:
    """The lists whose own masks a run reads from --data."""
    trained = [source.split for source in _sources(recipe) if source.data == "data" and source.masks is None]
    listed = recipe.crf.compatibility == "adjacency" or not all(stage.mixture for stage in recipe.stages.values())
    return list(dict.fromkeys([recipe.val_list, *([recipe.train_list] if listed else []), *trained]))


def other_sources(recipe: Recipe) -> list[Source]:
    """The sources from COCO, and those with label maps in --targets."""
    return [source for source in _sources(recipe) if source.data == "coco" or source.masks is not None]


def _sources(recipe: Recipe) -> list[Source]:
    return [source for stage in recipe.stages.values() for source in stage.mixture.values()]


def look_among_toys(split: str, recipe: Recipe) -> None:
    """Raise FileNotFoundError where the generated pictures cannot take the place of data that are not named."""
    if split not in TOY_LISTS or recipe.parts.wanted:
        origin = origin_of(split, Path("VOCdevkit")) or "for example PASCAL VOC, or folders of your own"
        raise FileNotFoundError(f"no data are named, and the recipe needs the list {split}; pass --data ({origin})")


def look_for_package(package: str, extra: str) -> None:
    """Raise ImportError where a package is not installed."""
    if find_spec(package) is None:
        raise ImportError(f"{package} is not installed, which reads the annotations; pip install -e '.[{extra}]'")
