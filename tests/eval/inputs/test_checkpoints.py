"""What a checkpoint says of parts, where it says nonsense, and whose network it holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from crfrnn.nets import NetworkFunction, build_model, load_checkpoint, save_checkpoint
from eval.inputs.checkpoints import load_model, networks_of, parts_of


@pytest.mark.parametrize("parts", [None, 3, {"unknown": 1}, {"side": -2}, {"margin": "x"}])
def test_parts_that_make_no_sense(parts: Any, make_checkpoint: Any, tmp_path: Path) -> None:
    path = make_checkpoint()
    assert parts_of(path) is None
    torch.save({**load_checkpoint(path), "training": {"parts": parts}}, path)
    with pytest.raises(ValueError, match=r"model\.pt is a damaged checkpoint: its parts are not usable"):
        parts_of(path)


def test_the_network_that_is_named_is_the_one_of_the_checkpoint(tmp_path: Path, make_checkpoint: Callable) -> None:
    path = make_checkpoint()
    with pytest.raises(
        ValueError, match=r"--network is evil:net, and .*model\.pt holds a built-in network; leave it out"
    ):
        load_model(path, "evil:net")
    model = build_model(NetworkFunction("tests.own_networks:tiny"), 3)
    architecture = {"name": "tests.own_networks:tiny", "num_labels": 3}
    save_checkpoint(tmp_path / "own.pt", model, architecture=architecture, classes=["x", "y", "z"])
    both = [path, tmp_path / "own.pt"]
    assert networks_of(both, ["tests.own_networks:tiny"]) == [None, "tests.own_networks:tiny"]
    assert networks_of(both, []) == [None, None]
    with pytest.raises(
        ValueError, match=r"--network is evil:net, and the checkpoints hold tests\.own_networks:tiny; leave"
    ):
        networks_of(both, ["tests.own_networks:tiny", "evil:net"])
    with pytest.raises(ValueError, match="--network is evil:net, and the checkpoints hold built-in networks; leave"):
        networks_of([path], ["evil:net"])
    with pytest.raises(
        ValueError, match=r"own\.pt' holds the network tests\.own_networks:tiny, not evil:net: code of yours"
    ):
        load_model(tmp_path / "own.pt", "evil:net")
    assert load_model(tmp_path / "own.pt", "tests.own_networks:tiny")[1] == ["x", "y", "z"]
