"""Label a list of PASCAL VOC and pack the results for its evaluation server, or check such an archive.

python -m eval.submit --checkpoint FILE --data VOCdevkit --list test --competition comp6 --out DIR
python -m eval.submit --check DIR/comp6_test.tar.gz --data VOCdevkit --list test --competition comp6

The label maps stay in DIR/labels; a command that was interrupted goes on with those it lacks. The masks of the list are not
needed, nor read.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from PIL import Image
from tqdm import tqdm

from crfrnn._command import exit_code
from crfrnn._files import claim
from crfrnn.data import VOC_CLASSES, read_image, write_labels
from crfrnn.nets import infer
from eval.inputs.checkpoints import load_model
from eval.scoring.provenance import fingerprint
from eval.submission import problems, write_archive

ABOUT = "made_by.json"


@dataclass(frozen=True)
class Options:
    data: Path
    """VOCdevkit folder, or VOC2012 itself"""
    split: Annotated[str, tyro.conf.arg(name="list")] = "test"
    """list of images in ImageSets/Segmentation"""
    competition: Literal["comp5", "comp6"] = "comp6"
    """comp5 for models trained on nothing but VOC, comp6 for others"""
    checkpoint: Path | None = None
    """file of the model"""
    out: Path | None = None
    """folder for label maps and archive"""
    iterations: int | None = None
    """mean-field iterations T of the CRF-RNN; its own number by default"""
    check: Path | None = None
    """archive to check, instead of making one"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 1 for an archive with faults, 2 for bad input."""
    options = tyro.cli(Options, args=argv, prog="python -m eval.submit", description=__doc__)
    return exit_code("eval.submit", lambda: run(options))


def run(options: Options) -> int:
    """Make and check, or only check. Raises OSError or ValueError where that does not work."""
    images = find_images(options.data, options.split)
    archive = options.check or make(options, images)
    sizes = {}
    for name, path in images.items():
        with Image.open(path) as photo:
            sizes[name] = photo.size
    found = problems(archive, sizes, options.competition, options.split)
    for line in found:
        print(line)
    print(f"{archive}: {len(found)} faults" if found else f"{archive}: {len(sizes)} images, good to upload")
    return int(bool(found))


def find_images(data: Path, split: str) -> dict[str, Path]:
    """The photographs of a list by id. Raises FileNotFoundError where list or photographs are missing."""
    root = next((path for path in (data, data / "VOC2012") if (path / "JPEGImages").is_dir()), None)
    if root is None:
        raise FileNotFoundError(f"{data} holds neither JPEGImages nor VOC2012/JPEGImages; pass the VOCdevkit folder")
    list_file = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    if not list_file.is_file():
        raise FileNotFoundError(f"there is no list {list_file}; VOC's test list comes with its test images")
    images = {name: root / "JPEGImages" / f"{name}.jpg" for name in list_file.read_text(encoding="utf-8").split()}
    missing = [str(path) for path in images.values() if not path.is_file()]
    if missing or not images:
        raise FileNotFoundError(f"{list_file} names {len(images)} images, {len(missing)} missing: {missing[:3]}")
    return images


def make(options: Options, images: dict[str, Path]) -> Path:
    """Label the images that have no label map yet, and pack all. Raises ValueError for models of other labels."""
    if options.checkpoint is None or options.out is None:
        raise ValueError("wanted --checkpoint and --out to make an archive, or --check to look at one")
    model, classes = load_model(options.checkpoint)
    if tuple(classes) != VOC_CLASSES:
        raise ValueError(f"{options.checkpoint} labels {len(classes)} classes, {classes[:3]}...; wanted those of VOC")
    folder = options.out / "labels"
    made_by = {
        "checkpoint": str(options.checkpoint.resolve()),
        "content": fingerprint(options.checkpoint),
        "data": str(options.data.resolve()),
        "iterations": options.iterations,
    }
    claim(folder / ABOUT, made_by)
    paths = {name: folder / f"{name}.png" for name in images}
    device = next(model.parameters()).device
    for name in tqdm([name for name in images if not paths[name].exists()], desc="labeling", unit="image"):
        batch = read_image(images[name])[None].to(device, torch.float32)
        write_labels(paths[name], infer(model, batch, options.iterations)[0].argmax(0).to("cpu", torch.uint8))
    archive = options.out / f"{options.competition}_{options.split}.tar.gz"
    write_archive(paths, archive, options.competition, options.split)
    return archive


if __name__ == "__main__":
    sys.exit(main())
