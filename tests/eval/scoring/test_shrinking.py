import math

import pytest
import torch
from torch import Tensor

from eval.scoring.shrinking import AREAS, SIDES, Shrinking, bin_names, thickness


def bar(width: int) -> Tensor:
    """A bar of label 1 across an image of label 0, between margins of 40."""
    labels = torch.zeros(80 + width, 100, dtype=torch.uint8)
    labels[40 : 40 + width] = 1
    return labels


@pytest.mark.parametrize(("width", "wanted"), [(1, 0), (4, 0), (5, 1), (8, 1), (9, 2), (16, 2), (17, 3), (33, 4)])
def test_a_bar_is_as_thick_as_its_short_side(width: int, wanted: int) -> None:
    found = thickness(bar(width))
    assert found[40 : 40 + width].unique().tolist() == [wanted]
    assert found[:40].unique().tolist() == [len(SIDES)]


def test_a_leg_is_thin_and_its_body_is_not() -> None:
    labels = torch.zeros(90, 120, dtype=torch.uint8)
    labels[20:45, 30:90] = 3
    labels[45:70, 40:43] = 3
    found = thickness(labels)
    assert found[20:45, 30:90].unique().tolist() == [3]
    assert found[45:70, 40:43].unique().tolist() == [0]


def test_what_the_frame_cuts_off_is_not_thin_but_void_is_another_label() -> None:
    labels = torch.zeros(60, 60, dtype=torch.uint8)
    labels[:, :3] = 1
    assert thickness(labels)[:, :3].unique().tolist() == [1]  # the square of side 5 around a pixel of column 0
    labels[:, 58:] = 255
    assert thickness(labels, (3, 5))[30, 55] == 2


def test_recall_by_thickness_and_area() -> None:
    truth = torch.zeros(80, 100, dtype=torch.uint8)
    truth[10:13, 10:60] = 1  # 150 pixels, thin
    truth[40:80, 50:90] = 2  # 1600 pixels, thick
    truth[0, 99] = 255
    half = truth.clone()
    half[10:13, 10:35] = 0
    half[40:80, 50:60] = 1
    half[0, 99] = 0
    counts = Shrinking(["half", "all"])
    counts.update({"half": half, "all": truth}, truth)
    counts.update({"half": truth, "all": truth}, truth)
    kept = counts.kept()
    assert kept["half"].by_area[:2] == pytest.approx([75, 87.5])
    assert kept["half"].by_thickness[0] == pytest.approx(75, abs=0.5)  # one corner of the background is thin, too
    assert kept["all"].by_area == [100, 100, 100, pytest.approx(math.nan, nan_ok=True)]
    assert kept["all"].plain()["by_area"][3] is None
    assert counts.shares().by_area == pytest.approx([100 * n / 7999 for n in (150, 1600, 6249, 0)])


def test_names_of_bins() -> None:
    assert bin_names(AREAS) == ["< 1000", "1000..3999", "4000..15999", ">= 16000"]
