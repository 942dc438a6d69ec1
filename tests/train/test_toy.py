"""The toy job, shortened: the jointly trained CRF-RNN is better than the network it started from."""

import json
from pathlib import Path

from crfrnn.data import make_toy
from train.run import main


def test_joint_training_improves_on_the_network(tmp_path: Path) -> None:
    data = make_toy(tmp_path / "toy", num_train=150, num_val=20)
    steps = "--only network joint --stages.network.steps 400 --stages.joint.steps 150"
    assert main(["--data", str(data), "--out", str(tmp_path / "run"), *steps.split()]) == 0
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())["scores"]
    network, joint = scores["network alone"], scores["CRF-RNN, T = 5"]
    assert network["mean_iou"] > 20  # it has learned something: nothing but background has about 13
    assert joint["mean_iou"] > network["mean_iou"] + 2
    assert joint["pixel_accuracy"] > network["pixel_accuracy"]
