"""What the tests share: a fixed seed, memory that holds NaN until it is written, and a count of fused runs.

With `CRFRNN_TEST_DEVICE=cuda` the tests of the layer, its kernels and lattices put their tensors there.
"""

import os
from collections.abc import Iterator

import pytest
import torch

from tests.threads import poisoned_memory

# Processes that share the tests share the cores.
torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))
if "CRFRNN_TEST_DEVICE" in os.environ:
    torch.set_default_device(os.environ["CRFRNN_TEST_DEVICE"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest comes first, so that other processes do the rest meanwhile."""
    items.sort(key=lambda item: item.path.name != "test_toy.py" or item.path.parent.name != "train")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.utils.deterministic.fill_uninitialized_memory = True


@pytest.fixture
def poison() -> Iterator[None]:
    """New memory holds NaN throughout the test."""
    with poisoned_memory():
        yield


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets one entry for every run of the fused code by a layer."""
    from tests.fused_problems import count_runs

    return count_runs(monkeypatch)
