"""Segment the parts of objects in photographs, guided by boxes.

python -m eval.parts IMAGE... --checkpoint FILE --boxes BOXES.json --out DIR
python -m eval.parts IMAGE... --checkpoint FILE --detect 0.7 --out DIR

BOXES.json says where objects are: {"photo.jpg": [{"class": "person", "box": [left, top, right, bottom]}]}, in pixels. Where
images in several folders have the same name, write as much of the path as tells them apart. With --detect, torchvision's
Faster R-CNN finds the objects. The files have the names that eval.segment gives: NAME_labels.png and NAME_overlay.png.
To score a model of parts on annotated images, use eval.run.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from crfrnn._command import description, exit_code, exit_with
from eval.pictures.formats import FigureFormat

if TYPE_CHECKING:
    import torch

    from eval.inputs.boxes import Detector


@dataclass(frozen=True)
class Options:
    images: tyro.conf.Positional[tuple[Path, ...]]
    """files to segment, folders of them, and wildcards"""
    checkpoint: Path
    """file of a model of parts"""
    network: str | None = None
    """the function of yours that makes the network of the checkpoint, where it is not a built-in one, as in training"""
    out: Path = Path()
    """folder for the results"""
    boxes: Path | None = None
    """file that says where objects are"""
    detect: float | None = None
    """let a detector find the objects, and leave out those with a lower score than this"""
    scales: tuple[float, ...] = (0.75, 1.0, 1.25)
    """scales of the crops, relative to that of the training"""
    iterations: int | None = None
    """mean-field iterations T of the CRF-RNN; its own number by default, 0 for the network alone"""
    figures: FigureFormat = "png"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 1 where some images could not be segmented, 2 where none was tried."""
    options = tyro.cli(Options, args=argv, prog="python -m eval.parts", description=description(__doc__))
    return exit_code("eval.parts", lambda: run(options))


def run(options: Options) -> int:
    """Segment all images. One that cannot be read is named on stderr and skipped; the exit code is then 1."""
    from tqdm import tqdm

    from crfrnn._command import complain
    from crfrnn.data import write_labels
    from eval.inputs.checkpoints import check_iterations, load_model, parts_of
    from eval.inputs.flags import check_folder
    from eval.inputs.photos import LABELS, OVERLAY, find_photos, named, plan_outputs, read_photo
    from eval.pictures.figures import overlay_figure, save_figure
    from eval.scoring.metrics import most_likely
    from eval.wild import label_space, segment_boxes

    check_options(options)
    outputs = plan_outputs(find_photos(options.images), options.out)
    check_folder("--out", options.out)
    parts = parts_of(options.checkpoint)
    if parts is None:
        raise ValueError(f"{options.checkpoint} labels no parts; use eval.segment")
    model, classes = load_model(options.checkpoint, options.network)
    labels = label_space(parts, classes)
    check_iterations(options.checkpoint, model, options.iterations)
    find = finder(options, list(outputs), labels.object_classes, next(model.parameters()).device)
    failed = False
    for path, stem in tqdm(outputs.items(), unit="image", desc="segmenting", leave=None):
        try:
            image = read_photo(path)
            found = find[path](image)
            beliefs = segment_boxes(model, image, found, parts, labels, options.scales, options.iterations)
        except (OSError, ValueError) as error:
            complain("eval.parts", error)
            failed = True
            continue
        best = most_likely(beliefs[None])
        stem.parent.mkdir(parents=True, exist_ok=True)
        write_labels(named(stem, LABELS), best)
        overlay = named(stem, f"{OVERLAY}.{options.figures}")
        save_figure(overlay_figure(image, best, classes), overlay)
        tqdm.write(f"{named(stem, LABELS)}  {overlay}  {len(found)} objects")
    return int(failed)


def check_options(options: Options) -> None:
    """Raise ValueError unless boxes come from exactly one place, and where a number is out of range."""
    from eval.inputs.flags import check_counts

    if (options.boxes is None) == (options.detect is None):
        raise ValueError("wanted either --boxes FILE or --detect SCORE: where the objects are")
    if options.detect is not None and not 0 <= options.detect <= 1:
        raise ValueError(f"--detect is {options.detect}; wanted a score of 0 to 1")
    if not options.scales or not all(0 < scale <= 8 for scale in options.scales):
        raise ValueError(f"--scales is {options.scales}; wanted one factor or more, above 0 and at most 8")
    check_counts(0, iterations=options.iterations)


def finder(
    options: Options, paths: Sequence[Path], classes: Sequence[str], device: torch.device
) -> dict[Path, Detector]:
    """How to find the objects of every image. Raises ValueError for an image without boxes, and one entry for two images."""
    from eval.inputs.boxes import read_boxes, torchvision_detector

    if options.boxes is None:
        assert options.detect is not None
        return dict.fromkeys(paths, torchvision_detector(classes, options.detect, device))
    boxes = read_boxes(options.boxes)
    entries = {path: entry_of(path, boxes) for path in paths}
    owners: dict[str, Path] = {}
    for path, entry in entries.items():
        if entry is None:
            raise ValueError(f"{options.boxes} has no entry for {path.name}; wanted a list for every image, if empty")
        if owners.setdefault(entry, path) != path:
            raise ValueError(
                f"the entry {entry!r} of {options.boxes} could be {owners[entry]} or {path}; wanted one for each, with as "
                "much of its path as tells them apart"
            )
    return {path: lambda _, entry=entry: boxes[entry] for path, entry in entries.items()}  # type: ignore[misc]


def entry_of(path: Path, names: Collection[str]) -> str | None:
    """The longest of `names` that is the path or an end of it; None where there is none."""
    ends = [Path(*path.parts[i:]).as_posix() for i in range(len(path.parts))]
    return next((end for end in ends if end in names), None)


if __name__ == "__main__":
    exit_with(main)
