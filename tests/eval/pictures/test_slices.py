"""Three slices through the middle of a volume."""

import pytest
import torch

from eval.pictures.slices import slices, slices_figure


def test_the_slices_cross_in_the_middle() -> None:
    volume = torch.arange(2 * 3 * 4).reshape(2, 3, 4)
    across = slices(volume)
    times = across[0].shape[0] // 3
    small = [each[::times, ::times] for each in across]
    assert torch.equal(small[0], volume[1])
    assert torch.equal(small[1], volume[:, 1])
    assert torch.equal(small[2], volume[:, :, 2])


def test_a_row_for_each_labeling_in_true_proportions() -> None:
    volume = torch.zeros(4, 5, 10, dtype=torch.uint8)
    figure = slices_figure(volume, {"a": torch.zeros(4, 5, 10).long()}, ["background", "x"], (2.0, 1.0, 1.0))
    pictures = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title(loc="left") for axes in pictures[::3]] == ["scan", "a"]
    figure.draw_without_rendering()
    boxes = [axes.get_window_extent() for axes in pictures[:3]]
    assert [box.width / box.height for box in boxes] == pytest.approx([10 / 5, 10 / 8, 5 / 8], rel=0.02)
