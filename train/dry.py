"""A rehearsal: everything a run does, in two steps a stage."""

import resource
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from crfrnn.data import make_toy, open_set
from eval.scoring.tables import text_table
from train.distributed import Processes
from train.folder import free_folder
from train.interrupt import Stop
from train.options import Options, shortened

Train = Callable[[Options, Path, torch.device, Processes, Stop, list[str]], int]


def dry_run(options: Options, device: torch.device, group: Processes, stop: Stop, argv: list[str], train: Train) -> int:
    """Check the images at both ends of the lists, then `train` a shortened recipe on them; prints time and memory.

    On a GPU batches have their full size, so that memory is what a run takes; on a CPU one image a pass, for time. Raises
    as a run does.
    """
    recipe = options.recipe
    data = options.data or make_toy(Path("runs") / "toy-data")
    rows = []
    for name in (recipe.train_list, recipe.val_list):
        dataset = open_set(data, name, recipe.parts)
        for sample in (dataset[0], dataset[len(dataset) - 1]):
            height, width = sample.labels.shape
            present = [dataset.classes[label] for label in sample.labels.unique().tolist() if label != 255]
            rows.append([name, str(len(dataset)), sample.name, f"{width} x {height}", ", ".join(present)])
    if group.is_main:
        print(text_table(["list", "images", "name", "size", "labels"], rows) + "\n")
    out = options.out / "dry-run" if options.out else free_folder("dry-run")
    if group.is_main and out.exists():
        shutil.rmtree(out)
    group.wait()
    short = shortened(recipe, None if device.type == "cuda" else group.world)
    began = time.perf_counter()
    code = train(replace(options, recipe=short, resume=False, out=out), out, device, group, stop, argv)
    if group.is_main:
        seconds = time.perf_counter() - began
        print(f"\ndry run of {seconds:.0f} s, {peak_memory(device):.2f} GiB at most; everything is in {out}")
    return code


def peak_memory(device: torch.device) -> float:
    """Largest memory so far in GiB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
