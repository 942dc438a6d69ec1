"""What a run is, and what it came to: recipe, command, layout of the curves, hyper-parameters with scores."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from train.board.tags import FINAL, LAYOUT

BOOKKEEPING = ("workers", "save_every", "keep_every", "validate_every", "val_images", "belief_labels")
"""Fields of a recipe that change nothing in what is learned."""


def write_overview(folder: Path, recipe: Mapping[str, Any], command: str) -> None:
    """Recipe and command as text, and which curves are shown together. What an earlier start of the run wrote is dropped."""
    with SummaryWriter(str(folder), purge_step=0) as writer:
        writer.add_text("command", f"    {command}", 0)
        writer.add_text("recipe", "\n".join(f"    {line}" for line in json.dumps(recipe, indent=2).splitlines()), 0)
        writer.add_custom_scalars(LAYOUT)


def write_results(folder: Path, recipe: Any, mean_iou: Mapping[str, float], trial: str, step: int) -> None:
    """The recipe as the hyper-parameters of a trial, with the final mean IoU of every row."""
    results = {f"{FINAL}/{row}": value for row, value in mean_iou.items()}
    _, start, end = hparams(flat(recipe), results)
    named = HParamsPluginData.FromString(start.value[0].metadata.plugin_data.content)
    named.session_start_info.group_name = trial
    start.value[0].metadata.plugin_data.content = named.SerializeToString()
    with SummaryWriter(str(folder), purge_step=step) as writer:
        # Without the summary of an experiment, which would be that of the first run for all runs of a log folder,
        # TensorBoard collects the columns from the runs, those that differ first.
        for summary in (start, end):
            writer.file_writer.add_summary(summary, step)
        for tag, value in results.items():
            writer.add_scalar(tag, value, step)


def flat(recipe: Any, prefix: str = "") -> dict[str, str | float | int | bool]:
    """A recipe as the flat table TensorBoard wants: all that may change what is learned, by dotted name."""
    table: dict[str, str | float | int | bool] = {}
    for own in fields(recipe):
        value, name = getattr(recipe, own.name), prefix + own.name
        if is_dataclass(value):
            table |= flat(value, f"{name}.")
        elif isinstance(value, Mapping) and all(is_dataclass(inner) for inner in value.values()):
            for key, inner in value.items():
                table |= flat(inner, f"{prefix}{key}.")
        elif own.name not in BOOKKEEPING:
            table[name] = value if isinstance(value, str | float | int | bool) else str(value)
    return table
