"""Pictures of score and belief maps, read back."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from eval.pictures.belief_maps import belief_figure, frames
from eval.pictures.iterations import Iterations

PHOTO = torch.full((3, 20, 30), 100, dtype=torch.uint8)


def iterations(count: int, iou: bool = True) -> Iterations:
    """Maps of cat and dog: scores that count up, beliefs 0 on the left and 1 on the right."""
    belief = torch.zeros(2, 20, 30)
    belief[:, :, 15:] = 1
    nan = float("nan")
    return Iterations(
        ("cat", "dog"),
        [torch.full((2, 20, 30), float(t)) for t in range(count)],
        [belief] * count,
        [nan, *[0.5] * (count - 1)],
        [nan, *[0.1] * (count - 1)],
        [-1.0 * t for t in range(count)],
        [50.0 + t for t in range(count)] if iou else [],
    )


@pytest.mark.parametrize(("count", "truth"), [(2, None), (8, PHOTO)])
def test_the_figure_has_every_iteration_under_common_colors(count: int, truth: torch.Tensor | None) -> None:
    figure = belief_figure(PHOTO, iterations(count), "dog", truth)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    names = ["network", *(f"iteration {t}" for t in range(1, count))]
    assert sorted(title for title in titles if title) == sorted(
        ["input", *([] if truth is None else ["truth"]), *names]
    )
    maps = {axes.get_title(): axes.images[0] for axes in figure.axes if axes.get_title() in names}
    assert {picture.get_clim() for picture in maps.values()} == {(0.0, count - 1.0)}
    assert {"score", "belief"} <= {axes.get_ylabel() for axes in figure.axes}
    assert "dog" in figure.get_suptitle()
    for axes in figure.axes:  # nothing is cropped
        own = axes.get_tightbbox(canvas.get_renderer())
        assert own is None or (figure.bbox.x0 - 1 <= own.x0 and own.x1 <= figure.bbox.x1 + 1)
        assert own is None or (figure.bbox.y0 - 1 <= own.y0 and own.y1 <= figure.bbox.y1 + 1)


@pytest.mark.parametrize("curves", [True, False])
def test_frames_follow_the_iterations(curves: bool) -> None:
    pictures = list(frames(PHOTO, iterations(2, iou=False), "cat", curves))
    assert len(pictures) == 2
    assert len({tuple(picture.shape) for picture in pictures}) == 1
    assert all(picture.dtype == torch.uint8 for picture in pictures)
    # the score is 0 everywhere, then 1: the brightest of magma, which the color bar has little of
    bright = [int((picture == torch.tensor([251, 252, 191])[:, None, None]).all(0).sum()) for picture in pictures]
    assert bright[1] > 10_000 > 20 * bright[0]
    colors = {tuple(color) for color in np.unique(pictures[0].flatten(1).T.numpy(), axis=0)}
    assert {(68, 1, 84), (253, 231, 36)} <= colors  # the two ends of viridis: beliefs of 0 and 1
    assert (100, 100, 100) in colors  # the photograph


def test_maps_that_were_not_kept_are_named() -> None:
    with pytest.raises(ValueError, match="no maps of 'cow'; there are maps of 'cat', 'dog'"):
        belief_figure(PHOTO, iterations(2), "cow")
