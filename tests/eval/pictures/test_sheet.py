"""The sheets that TensorBoard shows while a model trains, read back."""

import math

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, smoothness_kernel
from crfrnn.data import Sample
from eval.pictures import sheet as module
from eval.pictures.course import course, shown_iterations
from eval.pictures.sheet import LEFT, SIDE, TITLE, sheet

CLASSES = ["background", "cat", "dog"]


def made(height: int, width: int, seed: int = 0) -> tuple[Sample, Tensor]:
    """An image with a cat on its left half, and random scores."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.zeros(height, width, dtype=torch.uint8)
    truth[:, : width // 2] = 1
    photo = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
    return Sample(photo, truth, "meadow"), torch.randn(1, 3, height, width, generator=generator)


def crf(num_iterations: int) -> CRFRNN:
    return CRFRNN(3, [smoothness_kernel(weight=1.0)], num_iterations, filter="exact")


@pytest.mark.parametrize(
    ("size", "num_iterations"),
    [((37, 50), 10), ((50, 37), 10), ((37, 50), None), ((3, 400), 1), ((400, 3), 10), ((400, 3), None), ((1, 1), 0)],
)
def test_no_side_is_longer_than_tensorboard_shows(size: tuple[int, int], num_iterations: int | None) -> None:
    sample, unary = made(*size)
    layer = None if num_iterations is None else crf(num_iterations)
    picture = sheet(sample, unary, sample.labels, layer, CLASSES, ["cat", "dog", "background"])
    assert picture.dtype == torch.uint8
    assert picture.shape[0] == 3
    assert max(picture.shape) <= SIDE == 900
    if min(size) > 30:
        assert max(picture.shape) > 0.9 * SIDE


def test_names_are_there_and_colors_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[str] = []
    draw = module._Page.text
    monkeypatch.setattr(
        module._Page, "text", lambda self, x, y, text, *rest: words.append(text) or draw(self, x, y, text, *rest)
    )
    sample, unary = made(37, 50)
    prediction = sample.labels.clone()
    prediction[:, :10] = 2
    picture = sheet(sample, unary, prediction, crf(2), CLASSES, ["cat"])
    assert {"background", "cat", "dog", "truth", "meadow", "belief in cat", "most likely label"} <= set(words)
    assert {"network", "iteration 1", "iteration 2", "0", "1", "1.58 bits"} <= set(words)
    assert "prediction, mean IoU 80.0 %" in words  # background all of 25 columns, cat 15 of 25
    assert picture[:, TITLE + 1, LEFT + 1].tolist() == sample.image[:, 0, 0].tolist()


def test_as_many_labels_are_explained_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[str] = []
    monkeypatch.setattr(module._Page, "text", lambda self, x, y, text, *rest: words.append(text))
    sample, _ = made(10, 200)
    labels = torch.arange(200, dtype=torch.uint8).expand(10, -1)
    classes = [f"part {i}" for i in range(200)]
    many = Sample(sample.image, labels, "parts")
    sheet(many, torch.randn(1, 200, 10, 200), labels, None, classes, [])
    assert len([word for word in words if word.startswith("part ")]) == 3
    assert "and 197 more" in words


def test_strips_are_what_the_iterations_are() -> None:
    sample, unary = made(6, 8)
    layer = crf(2)
    found = course(layer, unary, sample, CLASSES, ["dog"], (6, 8))
    assert found.states == ["network", "iteration 1", "iteration 2"]
    states = [state.beliefs[0].detach() for state in layer.iterate(unary, sample.image[None].float())]
    strips = {strip.title: strip for strip in found.strips}
    assert list(strips) == [
        "belief in dog", "beliefs in all labels, mixed", "most likely label", "entropy of the beliefs", "belief that moved",
    ]  # fmt: skip
    for i, beliefs in enumerate(states):
        torch.testing.assert_close(strips["belief in dog"].tiles[i], beliefs[2])
        entropy = -(beliefs * beliefs.log2()).sum(0)
        torch.testing.assert_close(strips["entropy of the beliefs"].tiles[i], entropy)
    moved = strips["belief that moved"].tiles
    assert moved[0] is None
    torch.testing.assert_close(moved[2], (states[2] - states[1]).clamp(min=0).sum(0))


def test_colors_of_labels() -> None:
    sample = Sample(torch.full((3, 1, 3), 100, dtype=torch.uint8), torch.zeros(1, 3, dtype=torch.uint8), "a")
    unary = torch.tensor([[[[50.0, 0.0, -50.0]], [[0.0, 0.0, 50.0]], [[-50.0, -50.0, 0.0]]]])
    strips = {strip.title: strip for strip in course(None, unary, sample, CLASSES, [], (1, 3)).strips}
    mixed = strips["beliefs in all labels, mixed"].tiles[0]
    assert mixed is not None
    # VOC's color of label 1 is (128, 0, 0); the background stays gray, and 0.7 of a cat is painted.
    assert mixed[:, 0].T.tolist() == [[100, 100, 100], [110, 65, 65], [120, 30, 30]]
    labels = strips["most likely label"].tiles[0]
    assert labels is not None
    assert labels[:, 0].T.tolist() == [[100, 100, 100], [100, 100, 100], [128, 0, 0]]  # an edge, which is solid
    assert "belief that moved" not in strips
    scale = strips["entropy of the beliefs"].scale
    assert scale is not None
    assert scale.end == math.log2(3)


def test_the_first_iterations_and_the_last_are_shown() -> None:
    assert shown_iterations(0) == [0]
    assert shown_iterations(6) == [0, 1, 2, 3, 4, 5, 6]
    assert shown_iterations(10) == [0, 1, 2, 3, 5, 8, 10]
    for last in range(7, 60):
        found = shown_iterations(last)
        assert len(set(found)) == 7
        assert found[-1] == last
