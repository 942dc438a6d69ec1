"""A run with a learned guide, Adam, losses of overlap and a learned temperature: it learns, resumes, and is evaluated."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crfrnn.data import open_set
from crfrnn.nets import load_checkpoint, model_from_checkpoint
from eval.run import main as evaluate
from tests.train.interruptions import interrupted_in
from train.recipes.schema import Crf
from train.run import main
from train.start import build_crf

FLAGS = """--network deeplabv3-mobilenetv2 --crf.guide-channels 4 --crf.normalization symmetric --stages.joint.optimizer adam
    --stages.joint.lr 0.01 --stages.joint.crf-decay 0.1 --stages.joint.loss.jaccard 1 --stages.joint.loss.lovasz 0.5
    --stages.joint.loss.temperature 2 --stages.joint.loss.learn-temperature --width 0.1"""

pytestmark = pytest.mark.usefixtures("_no_pictures")


@pytest.fixture(scope="module")
def flags() -> list[str]:
    return FLAGS.split()


@pytest.mark.parametrize("channels", [3, 5])
def test_the_blur_is_learned_beside_a_guide(channels: int, toy: Path) -> None:
    """With a side weight for both axes and each channel of the guide, and one more."""
    crf = build_crf(Crf(guide_channels=channels, learn_filter=True), open_set(toy, "val"))
    assert crf.side_weights is not None
    assert [len(weights) for weights in crf.side_weights] == [3, channels + 3]
    unary, image = torch.randn(1, crf.num_labels, 5, 6), 255 * torch.rand(1, 3, 5, 6)
    crf(unary, image, features={"learned": 255 * torch.rand(1, channels, 5, 6)})


@pytest.mark.parametrize("channels", [1, 2])
def test_a_guide_has_at_least_the_colors(channels: int, capsys: pytest.CaptureFixture) -> None:
    assert main(["--crf.guide-channels", str(channels)]) == 2
    said = f"--crf.guide-channels is {channels}; wanted 3 to 5, or 0 for the colors of the image"
    assert said in capsys.readouterr().err


def test_learns_resumes_and_is_scored(
    arguments: Callable,
    assert_same_run: Callable,
    flags: list[str],
    tmp_path: Path,
    toy: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "run"
    assert main(arguments(whole, *flags)) == 0
    with interrupted_in(9):
        main(arguments(out, *flags))
    temperature = load_checkpoint(out / "last.pt")["training"]["log_temperature"]
    assert temperature != pytest.approx(math.log(2.0), abs=1e-4)
    assert main([*arguments(out, *flags), "--resume"]) == 0
    assert_same_run(out, whole)
    model, _ = model_from_checkpoint(whole / "joint.pt")
    assert model.guide is not None
    assert all(layer.weight.abs().amax((1, 2, 3)).min() > 0 for layer in model.guide.embed)  # type: ignore[union-attr, operator]
    assert not (load_checkpoint(whole / "network.pt")["model"].keys() & {"guide.embed.0.weight"})
    capsys.readouterr()
    command = f"--data {toy} --checkpoint {whole / 'joint.pt'} --iterations 1 2 --out {tmp_path / 'scores.json'}"
    assert evaluate(command.split()) == 0
    assert "CRF-RNN T=2" in capsys.readouterr().out
