"""What the tests share: a fixed seed, and memory that nobody wrote to is poison."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.utils.deterministic.fill_uninitialized_memory = True
