"""Stopping a run in this process, in the middle of a step, and what it left of TensorBoard."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import train.steps.loop


@contextmanager
def interrupted_in(step: int) -> Iterator[None]:
    """Ctrl-C in step number `step`, over all stages, of what runs inside; the generator of torch is not where it was."""
    steps = 0
    clip = train.steps.loop.clip_gradients

    def interrupt(*args: object) -> object:
        nonlocal steps
        steps += 1
        if steps == step:
            raise KeyboardInterrupt
        return clip(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.steps.loop, "clip_gradients", interrupt)
        with pytest.raises(KeyboardInterrupt):
            yield
    torch.rand(17)


def events_older(out: Path, age: int) -> None:
    """Files of events are read in the order of their names, which begin with seconds: these are from an earlier day."""
    for path in out.glob("tensorboard/*/events.out.tfevents.1*"):
        path.rename(path.with_name(re.sub(r"tfevents\.\d+", f"tfevents.{age:010d}", path.name)))
