"""A data set of a few tiny pictures, runs over it, and what they leave."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from crfrnn.data import make_toy
from crfrnn.nets import load_checkpoint
from tests.threads import threads
from tests.train.children import without_pictures
from train.folder import plain
from train.recipes import RECIPES
from train.run import main


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from threads, and sums must equal those of child processes."""
    with threads(1):
        yield


@pytest.fixture
def _no_pictures(monkeypatch: pytest.MonkeyPatch, uninterrupted: Path) -> None:
    """Runs without figures, after one that has them all."""
    without_pictures(monkeypatch.setattr)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("data") / "toy", num_train=6, num_val=2, size=(48, 56))


@pytest.fixture(scope="session")
def two_stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy recipe with its first two stages, the network alone and jointly, as a file."""
    stages = {name: RECIPES["toy"].stages[name] for name in ("network", "joint")}
    path = tmp_path_factory.mktemp("recipe") / "toy" / "recipe.json"
    path.parent.mkdir()
    path.write_text(json.dumps(plain(replace(RECIPES["toy"], stages=stages))))
    return path


@pytest.fixture(scope="session")
def arguments(toy: Path, two_stages: Path) -> Callable[..., list[str]]:
    """The command line of a run of six and four steps on crops of 33 pixels."""

    def make(out: Path, *more: str) -> list[str]:
        text = f"""--data {toy} --recipe {two_stages} --out {out} --width 0.03 --workers 0
            --stages.network.steps 6 --stages.network.batch-size 2 --stages.network.crop 33
            --stages.network.save-every 2 --stages.network.validate-every 3
            --stages.joint.steps 4 --stages.joint.batch-size 2 --stages.joint.crop 33 --stages.joint.save-every 2"""
        return [*text.split(), *more]

    return make


@pytest.fixture(scope="session")
def uninterrupted(arguments: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    with threads(1):  # a fixture of the session is made before that of the module
        assert main(arguments(out)) == 0
    return out


@pytest.fixture(scope="session")
def weights() -> Callable[[Path], dict[str, Tensor]]:
    return lambda path: load_checkpoint(path)["model"]


@pytest.fixture(scope="session")
def assert_same_run() -> Callable[[Path, Path], None]:
    """Whether two runs ended in the very same bits: models, momentum, and what the log says of losses and scores."""

    def check(got: Path, wanted: Path) -> None:
        for name in ("network.pt", "joint.pt", "network-best.pt", "joint-best.pt", "last.pt"):
            ours, theirs = load_checkpoint(got / name), load_checkpoint(wanted / name)
            assert ours["model"].keys() == theirs["model"].keys()
            assert [key for key in theirs["model"] if not torch.equal(ours["model"][key], theirs["model"][key])] == []
        momentum, expected = (content["training"]["optimizer"]["state"] for content in (ours, theirs))
        assert momentum.keys() == expected.keys()
        for key, wanted_state in expected.items():
            assert momentum[key].keys() == wanted_state.keys()
            assert all(torch.equal(momentum[key][kind], tensor) for kind, tensor in wanted_state.items())
        assert lines(got) == lines(wanted)

    return check


def lines(run: Path) -> list[str]:
    """The log of a run but for its speeds."""
    return [line.split("  largest rate")[0] for line in (run / "log.txt").read_text().splitlines()]
