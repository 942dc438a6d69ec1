"""Bands around void against a search through all pairs of pixels, boundary IoU against hand-drawn masks."""

import math

import pytest
import torch
from torch import Tensor

from crfrnn.data import Sample
from eval.scoring.borders import (
    Borders,
    BoundaryIoU,
    Trimap,
    border_numbers,
    border_table,
    distance_to_void,
    inner_border,
)
from eval.scoring.metrics import Confusion

CLASSES = ["background", "cat", "dog"]


def noisy(seed: int, height: int, width: int, void: int) -> tuple[Tensor, Tensor]:
    """Random labels, and a truth with `void` void pixels."""
    generator = torch.Generator().manual_seed(seed)
    prediction, truth = torch.randint(3, (2, height, width), generator=generator, dtype=torch.uint8)
    spots = torch.randperm(height * width, generator=generator)[:void]
    truth.view(-1)[spots] = 255
    return prediction, truth


def in_band(truth: Tensor, width: int) -> Tensor:
    """The pixels of a band by definition: not void, with a void one within a square of 2 width + 1 around them."""
    void = (truth == 255).nonzero().tolist()
    band = torch.zeros(truth.shape, dtype=torch.bool)
    for y, x in (truth != 255).nonzero().tolist():
        band[y, x] = any(max(abs(y - v), abs(x - w)) <= width for v, w in void)
    return band


@pytest.mark.parametrize(("height", "width", "void"), [(17, 12, 3), (1, 30, 2), (9, 9, 0)])
def test_distance_is_that_of_all_pairs(height: int, width: int, void: int) -> None:
    _, truth = noisy(0, height, width, void)
    distance = distance_to_void(truth, 6)
    for d in range(1, 7):
        assert ((distance > 0) & (distance <= d)).equal(in_band(truth, d))


def test_scores_of_bands_are_those_of_a_confusion_matrix_within() -> None:
    trimap = Trimap(CLASSES, (1, 2, 4))
    images = [noisy(1, 20, 15, 4), noisy(2, 11, 26, 2)]
    for prediction, truth in images:
        trimap.update(prediction, truth)
    for width, scores in trimap.scores().items():
        confusion = Confusion(CLASSES)
        for prediction, truth in images:
            confusion.update(prediction, torch.where(in_band(truth, width), truth, 255))
        assert scores == confusion.scores()


def test_masks_without_void_have_no_bands() -> None:
    trimap = Trimap(CLASSES)
    trimap.update(*noisy(0, 5, 5, 0))
    assert trimap.scores() == {}
    borders = Borders(["network"], CLASSES)
    prediction, truth = noisy(0, 5, 5, 0)
    sample = Sample(torch.zeros(3, 5, 5, dtype=torch.uint8), truth, "a")
    borders(sample, torch.zeros(1, 2, 5, 5), {"network": prediction})
    assert list(border_table(borders).header) == ["mean IoU, percent,\nin the band of", "boundary\nIoU"]
    assert border_numbers(borders)["half_widths"] == []
    with pytest.raises(ValueError, match=r"bands of \[0\] pixels; wanted one or more, each 1 or wider"):
        Trimap(CLASSES, (0,))


def test_inner_border_of_a_square_and_of_the_image() -> None:
    mask = torch.zeros(9, 9, dtype=torch.bool)
    mask[2:8, 2:8] = True
    inner = mask.clone()
    inner[3:7, 3:7] = False
    assert inner_border(mask, 1).equal(inner)
    inner = mask.clone()
    inner[4:6, 4:6] = False
    assert inner_border(mask, 2).equal(inner)
    assert int(inner_border(torch.ones(5, 5, dtype=torch.bool), 1).sum()) == 16


def test_boundary_iou_of_a_square_one_pixel_too_large() -> None:
    truth, prediction = torch.zeros(2, 12, 12, dtype=torch.uint8)
    truth[3:9, 3:9] = 1  # border of 20 pixels
    prediction[2:10, 2:10] = 1  # border of 28 pixels, none of them in the other
    prediction[2:10, 9] = 0  # now 8 x 7 with a border of 26, which shares the right side but its ends: 6 pixels
    metric = BoundaryIoU(CLASSES, share=1 / 16.97)
    metric.update(prediction, truth)
    assert metric.scores()["cat"] == pytest.approx(100 * 6 / (20 + 26 - 6))
    assert math.isnan(metric.scores()["dog"])


def test_a_prediction_that_is_right_wherever_the_truth_is_known_is_full() -> None:
    columns = torch.arange(40).expand(40, 40)
    truth = torch.where(columns < 18, 0, torch.where(columns < 22, 255, 1))
    metric = BoundaryIoU(CLASSES)
    metric.update((columns >= 20).long(), truth)
    assert metric.scores()["background"] == metric.scores()["cat"] == 100
    assert math.isnan(metric.scores()["dog"])


def test_boundary_iou_of_equal_masks_is_full_and_void_counts_nowhere() -> None:
    prediction, truth = noisy(3, 14, 13, 20)
    equal = torch.where(truth == 255, 2, truth)
    metric = BoundaryIoU(CLASSES, share=0.01)
    metric.update(equal, equal)
    assert metric.scores() == {"background": 100.0, "cat": 100.0, "dog": 100.0}
    nothing = BoundaryIoU(CLASSES)
    nothing.update(prediction, torch.full_like(truth, 255))
    assert all(math.isnan(value) for value in nothing.scores().values())
