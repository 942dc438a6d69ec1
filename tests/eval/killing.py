"""Kill commands at random moments, and compare what they leave with what they write when left alone.

python -m tests.eval.killing --kills 20                         (minutes; ends with 1 where a bit differs)

These are eval.submit, eval.beliefs, eval.tuning.search and train.targets; tests.train.killing has train.run.

Whatever stands under a name must be complete at every moment, after a kill, too.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from crfrnn import CRFRNN
from crfrnn.data import VOC_CLASSES, write_labels
from crfrnn.nets import build_model, save_checkpoint
from tests.children import result
from tests.eval.children import start
from tests.killing import kill
from train.label_maps import PARAMETERS

IMAGES, SIZE = 60, (60, 80)
HOW_MADE = (PARAMETERS, "tried.sqlite")
SEARCH = ["--sample", "30", "--grid.appearance-weight", "1", "2", "--grid.theta-beta", "10", "--rounds", "2"]


def write_inputs(root: Path) -> tuple[Path, Path]:
    """Photographs and masks of noise, and the checkpoint of a random model; returns the data set and the checkpoint."""
    data = root / "VOC2012"
    for folder in ("JPEGImages", "ImageSets/Segmentation", "SegmentationClass"):
        (data / folder).mkdir(parents=True)
    noise = np.random.default_rng(0)
    names = [f"2008_{n:06}" for n in range(IMAGES)]
    for name in names:
        Image.fromarray(noise.integers(0, 256, (*SIZE, 3), np.uint8)).save(data / "JPEGImages" / f"{name}.jpg")
        write_labels(data / "SegmentationClass" / f"{name}.png", torch.from_numpy(noise.integers(0, 3, SIZE, np.uint8)))
    (data / "ImageSets/Segmentation/test.txt").write_text("\n".join(names))
    torch.manual_seed(0)
    model = build_model(num_labels=21, width=0.02, crf=CRFRNN(21))
    torch.nn.init.normal_(model.network.fc8.weight)  # type: ignore[union-attr, arg-type]
    architecture = {"num_labels": 21, "width": 0.02}
    save_checkpoint(root / "model.pt", model, architecture=architecture, classes=list(VOC_CLASSES))
    return data, root / "model.pt"


def write_scores(data: Path, folder: Path) -> Path:
    """Scores of noise for every photograph."""
    folder.mkdir()
    noise = np.random.default_rng(1)
    for path in (data / "JPEGImages").iterdir():
        np.save(folder / f"{path.stem}.npy", noise.normal(size=(21, 4, 5)).astype(np.float32))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """The files in a folder and below by name, but for those that are still being written or tell how they were made."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): comparable(path) for path in files if path.name not in HOW_MADE}


def comparable(path: Path) -> bytes:
    """What is in a file; of a search's, what does not tell when and where it ran."""
    if path.name == "crf.json":
        content = json.loads(path.read_bytes())
        return repr([content["tried"], content["settings"]]).encode()
    return path.read_bytes()


def check(out: Path, whole: dict[str, bytes]) -> None:
    """Raise RuntimeError where a file differs from the one of the same name in `whole`."""
    for name, content in contents(out).items():
        if content != whole.get(name):
            raise RuntimeError(f"{name} is not what the command writes when left alone")


def survives(main: str, argv: list[str], root: Path, kills: int, keeps: bool) -> str:
    """Kill a command `kills` times; returns a line of what happened. Raises RuntimeError where a bit differs.

    Args:
        main: "module:function".
        argv: its arguments but for --out.
        root: where to write.
        kills: how often.
        keeps: whether the command continues where it was killed.
    """
    result(start(main, [*argv, "--out", str(root / "warm")]))
    began = time.monotonic()
    if result(start(main, [*argv, "--out", str(root / "whole")])) != 0:
        raise RuntimeError(f"{main} does not get through even when left alone")
    seconds = time.monotonic() - began
    whole, out, killed = contents(root / "whole"), root / "killed", 0
    run = partial(start, main, [*argv, "--out", str(out)])
    while killed < kills:
        within = seconds * (4 / kills + 0.2 if keeps else 1)
        killed += kill(run, kills - killed, within, lambda: check(out, whole))
        check(out, whole)
        if contents(out).keys() != whole.keys():
            raise RuntimeError(f"{main} left other files: {sorted(contents(out).keys() ^ whole.keys())}")
    return (
        f"{main}: {seconds:.1f} s when left alone; killed {killed} times; all {len(whole)} files the same in every bit"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.eval.killing", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each command (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(argv)
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data, checkpoint = write_inputs(root)
        photo = data / "JPEGImages" / "2008_000000.jpg"
        submit = ["--data", str(data), "--checkpoint", str(checkpoint)]
        beliefs = [str(photo), "--label", "cat", "dog", "--checkpoint", str(checkpoint), "--iterations", "2"]
        search = ["--data", str(data), "--unaries", str(write_scores(data, root / "scores")), "--list", "test", *SEARCH]
        targets = ["--data", str(data), "--list", "test", "--boxes", "regions"]
        for command, arguments, keeps in (
            ("eval.submit", submit, True),
            ("eval.beliefs", beliefs, False),
            ("eval.tuning.search", search, True),
            ("train.targets", targets, True),
        ):
            print(survives(f"{command}:main", arguments, root / command, options.kills, keeps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
