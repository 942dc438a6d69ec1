"""Several training processes, as torchrun starts them; one process alone goes through the same code."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Processes:
    """Which process of how many this is. Only the one of rank 0 writes."""

    rank: int = 0
    world: int = 1
    restarts: int = 0
    """how often torchrun has restarted the processes after one was lost"""
    launched: bool = False
    """whether torchrun started them"""

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Sum of `values` (on the CPU) over all processes."""
        if self.world > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def gather(self, values: list[Any]) -> list[Any]:
        """The `values` of all processes, one after another, in every process."""
        if self.world == 1:
            return values
        gathered: list[list[Any]] = [[]] * self.world
        dist.all_gather_object(gathered, values)
        return [value for part in gathered for value in part]

    def wait(self) -> None:
        """Return when all processes are here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """The processes of this run, joined meanwhile: over gloo, and nccl for tensors on GPUs."""
    if "WORLD_SIZE" not in os.environ:
        yield Processes()
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
        yield Processes(dist.get_rank(), dist.get_world_size(), restarts, launched=True)
    finally:
        dist.destroy_process_group()


def own_device() -> torch.device:
    """The GPU of this process, or the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return device
