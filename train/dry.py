"""A rehearsal: everything a run does, in two steps a stage."""

import resource
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import torch

from crfrnn.data import make_toy, open_set
from eval.scoring.tables import text_table
from train.distributed import Processes
from train.folder import free_folder
from train.options import Options, shortened


def dry_options(options: Options, device: torch.device, group: Processes) -> Options:
    """Check the images at both ends of the lists, and print them; returns the options of a short run into a new folder.

    On a GPU batches keep their size, so that the memory is that of a run; on a CPU a pass has one image, for time. Raises
    as opening data does.
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
    return replace(options, recipe=short, resume=False, out=out)


def dry_report(out: Path, seconds: float, device: torch.device) -> str:
    """What a dry run took, and where it left everything."""
    return f"\ndry run of {seconds:.0f} s, {peak_memory(device):.2f} GiB at most; everything is in {out}"


def peak_memory(device: torch.device) -> float:
    """Largest memory so far in GiB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
