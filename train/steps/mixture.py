"""What the batches of a stage are made of: sources of images with different annotations, each with a list of its own."""

from dataclasses import replace
from pathlib import Path

from crfrnn.data import (
    VOID,
    CocoSegmentation,
    FolderSegmentation,
    FolderSet,
    Parts,
    SegmentationSet,
    VOCSegmentation,
    look_for,
    open_set,
)
from crfrnn.data.coco import look_for_coco
from crfrnn.data.folders import read_folder_set
from train.label_maps import check_kind
from train.recipes import Recipe, Source, Stage

ALONE = (Source(count=1, split=""),)
"""What a batch is made of that has nothing but images with masks."""
KINDS = {"boxes": "rect", "scribbles": "scribbles"}
"""Of annotations that train.targets makes label maps for, their kind."""


def sources(recipe: Recipe, stage: Stage) -> dict[str, Source]:
    """The sources of a stage by name: its mixture, or the training list alone."""
    return dict(stage.mixture) or {"images": Source(count=stage.batch_size, split=recipe.train_list)}


def open_sets(
    recipe: Recipe, dataset: SegmentationSet, data: Path | FolderSet, coco: Path | None, targets: Path | None
) -> dict[str, list[SegmentationSet]]:
    """By stage, the data sets of the sources of its mixture, in their order, over the same labels as `dataset`.

    Raises ValueError where a mixture makes no sense, and as the data sets do.
    """
    opened: dict[tuple, SegmentationSet] = {}
    sets: dict[str, list[SegmentationSet]] = {}
    for name, stage in recipe.stages.items():
        check_mixture(recipe, name, stage)
        sets[name] = []
        for source in stage.mixture.values():
            key = (source.data, source.split, source.masks, source.joint)
            if key not in opened:
                opened[key] = open_source(source, data, coco, targets, recipe.parts)
            check_labels(opened[key], dataset, recipe.extra_labels if source.joint else 0, source)
            sets[name].append(opened[key])
    return sets


def open_source(
    source: Source, data: Path | FolderSet, coco: Path | None, targets: Path | None, parts: Parts | None = None
) -> SegmentationSet:
    """The data set of a source. Raises as `look_for_source` and as the data set does."""
    look_for_folders(source, data, coco, targets)
    masks = source.masks if source.masks is None or targets is None else str(targets.resolve() / source.masks)
    if source.data == "coco":
        assert coco is not None
        return CocoSegmentation(coco, source.split, "joint" if source.joint else "voc", masks=masks)
    if source.annotation in KINDS and masks is not None:
        check_kind(Path(masks), KINDS[source.annotation])
    if masks is None:
        return open_set(data, source.split, parts)
    if isinstance(data, Path) and data.suffix == ".json":
        data = read_folder_set(data)
    if isinstance(data, FolderSet):
        return FolderSegmentation(replace(data, masks=Path(masks), colors=(), void=VOID), source.split)
    return VOCSegmentation(data, source.split, masks=masks)


def look_for_source(
    source: Source, data: Path | FolderSet, coco: Path | None, targets: Path | None, parts: Parts | None = None
) -> None:
    """Raise FileNotFoundError, as `open_source` does, where something is missing; no annotations are read."""
    look_for_folders(source, data, coco, targets)
    if source.data == "coco":
        assert coco is not None
        look_for_coco(coco, source.split)
    elif source.masks is None:
        look_for(data, source.split, parts)
    else:
        open_source(source, data, coco, targets, parts)


def look_for_folders(source: Source, data: Path | FolderSet, coco: Path | None, targets: Path | None) -> None:
    """Raise FileNotFoundError where COCO, or the label maps of a source, are not there or not named."""
    if source.data == "coco" and coco is None:
        raise FileNotFoundError(
            f"the recipe takes images from COCO (list {source.split}); pass its folder as --coco "
            "(python -m crfrnn.data.download coco2014 --out DIR fetches it)"
        )
    if source.masks is None:
        return
    root = coco if source.data == "coco" else data
    kinds = f" --kinds {source.masks}" if source.masks in ("rect", "seg", "scribbles") else ""
    given = root if isinstance(root, Path) else "RUN/folders.json --boxes regions"
    make = (
        f"python -m train.targets --data {given} --list {source.split}{kinds} --out {targets or 'TARGETS'} makes them"
    )
    if targets is not None and not (targets / source.masks).is_dir():
        raise FileNotFoundError(
            f"there is no folder {targets / source.masks} with label maps of the list {source.split}; {make}"
        )
    places = [root / place for place in ("", "VOC2012", "VOCdevkit/VOC2012")] if isinstance(root, Path) else []
    if targets is None and not any((place / source.masks).is_dir() for place in (*places, Path())):
        raise FileNotFoundError(
            f"the recipe takes the label maps {source.masks} of the list {source.split}; pass their folder as --targets "
            f"({make})"
        )


def check_mixture(recipe: Recipe, name: str, stage: Stage) -> None:
    """Raise ValueError where the sources of a stage do not fit it."""
    for title, source in stage.mixture.items():
        flag = f"--stages.{name}.mixture.{title}"
        if source.annotation == "boxes" and source.e_step.method != "em-fixed":
            raise ValueError(
                f"{flag}.annotation is boxes and {flag}.e-step.method {source.e_step.method}; boxes go with em-fixed alone"
            )
        if source.annotation == "boxes" and source.masks is None:
            raise ValueError(
                f"{flag}.annotation is boxes, and {flag}.masks is None; wanted the folder of Bbox-Rect that train.targets "
                "makes (rect)"
            )
        if source.annotation == "scribbles" and source.masks is None:
            raise ValueError(
                f"{flag}.annotation is scribbles, and {flag}.masks is None; wanted the folder of scribbles that "
                "train.targets --kinds scribbles makes (scribbles)"
            )
        if source.joint and (source.data != "coco" or source.annotation != "pixels" or stage.trains != "network"):
            raise ValueError(
                f"{flag}.joint goes with the masks of COCO ({flag}.data coco, {flag}.annotation pixels), in a stage that "
                "trains the network; pass the --no-joint of this source"
            )
    total = sum(source.count for source in stage.mixture.values())
    if stage.mixture and total != stage.batch_size:
        raise ValueError(
            f"--stages.{name}.batch-size is {stage.batch_size}, and the counts of its mixture come to {total}; wanted equal "
            "numbers"
        )


def check_labels(opened: SegmentationSet, dataset: SegmentationSet, extra: int, source: Source) -> None:
    """Raise ValueError where a source has other labels than those of `dataset` followed by `extra` ones."""
    wanted = dataset.num_labels + extra
    if opened.num_labels != wanted:
        raise ValueError(
            f"the list {source.split} has {opened.num_labels} labels, the network scores {wanted} for it; wanted equal "
            "numbers: the labels of the validation list, followed by as many as --extra-labels for a joint source"
        )
    for label, (ours, theirs) in enumerate(zip(dataset.classes, opened.classes, strict=False)):
        if ours != theirs:
            raise ValueError(
                f"label {label} is {ours!r} in {dataset.root} and {theirs!r} in the list {source.split}; wanted the same "
                "labels in the same order"
            )


def shares(stage: Stage, world: int, name: str = "NAME") -> int:
    """Images per pass of one of `world` processes.

    Raises ValueError, in the name of the stage, where the batch cannot be shared out evenly.
    """
    size, rest = divmod(stage.batch_size, world * stage.accumulate)
    if rest or not size:
        raise ValueError(
            f"--stages.{name}.batch-size is {stage.batch_size}; wanted a multiple of {world * stage.accumulate}: the "
            f"processes ({world}) times the passes of a step (--stages.{name}.accumulate {stage.accumulate})"
        )
    if stage.crop is None and size > 1:
        raise ValueError(
            f"--stages.{name}.crop is None, so images keep their sizes, but a pass has {size} of them; wanted one: pass "
            f"--stages.{name}.accumulate {stage.batch_size // world}, or a crop"
        )
    return size
