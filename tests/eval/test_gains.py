"""Scores of single images, the choice of images, and where to look closer."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crfrnn.data import Sample, open_set
from eval.gains import close_up, label_set, pick
from eval.scoring.bootstrap import mean_iou
from eval.scoring.methods import network_alone
from eval.scoring.systems import System


@pytest.fixture
def guess() -> Callable[..., System]:
    """A system that says `label` everywhere."""

    def make(name: str, label: int) -> System:
        def unary(sample: Sample, image: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(torch.full(image.shape[2:], label), 3).permute(2, 0, 1)[None].float()

        return System(unary, (network_alone(name),), torch.device("cpu"))

    return make


def test_scores_of_single_images_and_of_the_set(voc: Path, guess: Callable) -> None:
    dataset = open_set(voc, "val")
    results, scores, counts = label_set([guess("zero", 0), guess("two", 2)], dataset, [1, 3], ["two", "zero"])
    assert [(result.index, result.name) for result in results] == [(1, "b"), (3, "d")]
    right = total = 0
    for result in results:
        truth = dataset[result.index].labels
        assert result.labels("two", tuple(truth.shape)).eq(2).all()
        own, counted = int((truth == 2).sum()), int((truth != 255).sum())
        assert result.mean_iou["two"] == pytest.approx(100 * own / counted / 3)  # all three classes are there
        right, total = right + own, total + counted
    assert scores["two"].mean_iou == pytest.approx(100 * right / total / 3)
    assert list(scores) == ["two", "zero"]
    assert (counts.images, counts.rows) == (["b", "d"], ["two", "zero"])
    assert mean_iou(counts.areas("two")) == pytest.approx(scores["two"].mean_iou)


def test_the_choice_of_images() -> None:
    gains = {"a": 1.0, "b": -5.0, "c": 7.0, "d": 0.0, "e": 2.0, "f": -1.0, "g": 0.5}
    assert pick(gains, 2) == {"best": ["c", "e"], "median": ["a", "g"], "worst": ["f", "b"]}
    assert pick(gains, 1) == {"best": ["c"], "median": ["g"], "worst": ["b"]}
    assert pick(gains, 3) == {"all": ["c", "e", "a", "g", "d", "f", "b"]}


def test_the_close_up_is_where_columns_differ_near_a_border() -> None:
    truth = torch.zeros(40, 60, dtype=torch.uint8)
    truth[10:30, 20:50] = 1
    before, after = truth.clone(), truth.clone()
    before[25:30, 44:50] = 0  # a corner of the object
    before[:, :6] = 1  # a larger difference, far from any border
    top, left, side = close_up(before, after, truth)
    assert side == 14
    assert top <= 25
    assert top + side >= 30
    assert left <= 44
    assert left + side >= 50
    # without a difference: somewhere along the border
    top, left, side = close_up(truth, truth, truth)
    inside = truth[top : top + side, left : left + side]
    assert 0 < inside.float().mean() < 1


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_close_ups_of_the_smallest_images(size: tuple[int, int]) -> None:
    truth = torch.zeros(size, dtype=torch.uint8)
    top, left, side = close_up(truth, truth, truth)
    assert top >= 0
    assert top + side <= size[0]
    assert left >= 0
    assert left + side <= size[1]
