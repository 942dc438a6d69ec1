"""Label a list of PASCAL VOC and pack the results for its evaluation server, or check such an archive.

python -m eval.submit --checkpoint FILE --data VOCdevkit --list test --competition comp6 --out DIR
python -m eval.submit --checkpoint FILE --images PHOTOS --list FILE.txt --out DIR
python -m eval.submit --check DIR/comp6_test.tar.gz --data VOCdevkit --list test --competition comp6

The label maps stay in DIR/labels, so that an interrupted command continues with those that are missing. The masks of the
list are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from crfrnn._command import description, exit_code, exit_with
from crfrnn.folders import Folders

ABOUT = "made_by.json"


@dataclass(frozen=True)
class Options:
    data: Path | None = None
    """VOCdevkit folder, or VOC2012 itself, or the folders.json of a run"""
    folders: Annotated[Folders, tyro.conf.arg(name="")] = field(default_factory=Folders)
    """photographs alone do: --images without --masks"""
    split: Annotated[str, tyro.conf.arg(name="list")] = "test"
    """list of images: a name in ImageSets/Segmentation, or a file; in folders, train, val or all"""
    competition: Literal["comp5", "comp6"] = "comp6"
    """comp5 for models trained on nothing but VOC, comp6 for others"""
    checkpoint: Path | None = None
    """file of the model"""
    network: str | None = None
    """the function of yours that makes the network of the checkpoint, where it is not a built-in one, as in training"""
    out: Path | None = None
    """folder for label maps and archive"""
    iterations: int | None = None
    """mean-field iterations T of the CRF-RNN; its own number by default"""
    check: Path | None = None
    """archive to check, instead of making one"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 1 for an archive with faults, 2 for bad input."""
    options = tyro.cli(Options, args=argv, prog="python -m eval.submit", description=description(__doc__))
    return exit_code("eval.submit", lambda: run(options))


def run(options: Options) -> int:
    """Make and check, or only check. Raises OSError or ValueError where that does not work."""
    from PIL import Image

    from eval.submission import problems

    images = find_images(options)
    archive = options.check or make(options, images)
    sizes = {}
    for name, path in images.items():
        with Image.open(path) as photo:
            sizes[name] = photo.size
    found = problems(archive, sizes, options.competition, Path(options.split).stem)
    for line in found:
        print(line)
    print(f"{archive}: {len(found)} faults" if found else f"{archive}: {len(sizes)} images, good to upload")
    return int(bool(found))


def find_images(options: Options) -> dict[str, Path]:
    """The photographs of a list by id. Raises FileNotFoundError where the list or photographs are missing."""
    from crfrnn.data import VOC_CLASSES, list_names
    from crfrnn.data.folders import listed_photos, read_folder_set, source_of
    from crfrnn.data.listing import check_files

    folders = options.folders
    if folders.masks is None:
        folders = replace(folders, masks=folders.images)  # masks are not read
    source = source_of(options.data, folders, VOC_CLASSES)
    if isinstance(source, Path) and source.suffix == ".json":
        source = read_folder_set(source)
    if not isinstance(source, Path):
        return listed_photos(source, options.split)
    root, names = list_names(source, options.split)
    images = {name: root / "JPEGImages" / f"{name}.jpg" for name in names}
    check_files(images.values(), f"the list {options.split}")
    return images


def make(options: Options, images: dict[str, Path]) -> Path:
    """Label the images that have no label map yet, and pack all. Raises ValueError for models of other labels."""
    import torch
    from tqdm import tqdm

    from crfrnn._files import claim
    from crfrnn.data import VOC_CLASSES, read_image, write_labels
    from crfrnn.nets import infer
    from eval.inputs.checkpoints import check_iterations, load_model
    from eval.inputs.flags import check_counts, check_folder
    from eval.scoring.metrics import most_likely
    from eval.scoring.record import fingerprint
    from eval.submission import write_archive

    if options.checkpoint is None or options.out is None:
        raise ValueError("wanted --checkpoint and --out to make an archive, or --check to look at one")
    check_counts(0, iterations=options.iterations)
    check_folder("--out", options.out)
    model, classes = load_model(options.checkpoint, options.network)
    if tuple(classes) != VOC_CLASSES:
        raise ValueError(f"{options.checkpoint} labels {len(classes)} classes, {classes[:3]}...; wanted those of VOC")
    check_iterations(options.checkpoint, model, options.iterations)
    folder = options.out / "labels"
    made_by = {
        "checkpoint": str(options.checkpoint.resolve()),
        "content": fingerprint(options.checkpoint),
        "data": str((options.data or options.folders.images or Path()).resolve()),
        "iterations": options.iterations,
    }
    claim(folder / ABOUT, made_by)
    paths = {name: folder / f"{name}.png" for name in images}
    device = next(model.parameters()).device
    for name in tqdm([name for name in images if not paths[name].exists()], desc="labeling", unit="image"):
        batch = read_image(images[name])[None].to(device, torch.float32)
        write_labels(paths[name], most_likely(infer(model, batch, options.iterations)))
    split = Path(options.split).stem
    archive = options.out / f"{options.competition}_{split}.tar.gz"
    write_archive(paths, archive, options.competition, split)
    return archive


if __name__ == "__main__":
    exit_with(main)
