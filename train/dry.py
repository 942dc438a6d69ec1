"""A rehearsal: everything a run does, in two steps a stage."""

import resource
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import torch

from eval.scoring.tables import Table
from train.distributed import Processes
from train.folder import free_folder
from train.options import shortened
from train.state import Run


def dry_folder(out: Path | None, group: Processes) -> Path:
    """A new folder for a rehearsal of a run in `out`; what an earlier one left there is removed."""
    if out is None:
        return free_folder("dry-run")
    folder = out / "dry-run"
    if group.is_main and folder.exists():
        shutil.rmtree(folder)
    group.wait()
    return folder


def rehearsal(run: Run) -> Run:
    """The run with two steps a stage and two images to score.

    On a GPU batches keep their size, so that the memory is that of a run; on a CPU a pass has one image, for time.
    """
    short = shortened(run.recipe, None if run.device.type == "cuda" else run.group.world)
    return replace(run, recipe=short, final_images=2, table=None)


def ends_of_lists(run: Run) -> str:
    """The images at both ends of the training and of the validation list, as a table."""
    rows = []
    for name, dataset in ((run.recipe.train_list, run.dataset), (run.recipe.val_list, run.validation)):
        for sample in (dataset[0], dataset[len(dataset) - 1]):
            height, width = sample.labels.shape
            present = [dataset.classes[label] for label in sample.labels.unique().tolist() if label != 255]
            rows.append([name, str(len(dataset)), sample.name, f"{width} x {height}", ", ".join(present)])
    return f"{Table(['list', 'images', 'name', 'size', 'labels'], rows)}\n"


def dry_report(out: Path, seconds: float, device: torch.device) -> str:
    """What a dry run took, and where it left everything."""
    return f"\ndry run of {seconds:.0f} s, {peak_memory(device):.2f} GiB at most; everything is in {out}"


def peak_memory(device: torch.device) -> float:
    """Largest memory so far in GiB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
