"""The curves of all figures over iterations: whole numbers below, the network alone dashed, none hidden by another."""

from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eval.pictures.belief_maps import belief_figure
from eval.pictures.iterations import Iterations
from eval.scoring.borders import trimap_figure
from eval.tuning.ablation_report import curves


@dataclass(frozen=True)
class Score:
    mean_iou: float
    pixel_accuracy: float = 90.0


def seed(*values: float) -> list[Score]:
    return [Score(value) for value in values]


def dashed(axes: Axes) -> list[list[float]]:
    return [list(line.get_ydata()) for line in axes.lines if line.get_linestyle() == "--"]


def ticks(figure: Figure, axes: Axes) -> list[str]:
    FigureCanvasAgg(figure).draw()
    low, high = axes.get_xlim()
    return [label.get_text() for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]


def check_that_none_is_hidden(axes: Axes, count: int) -> None:
    lines = [line for line in axes.lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 1][:count]
    assert len(lines) == count
    for kind in ("get_linewidth", "get_markersize"):
        sizes = [getattr(line, kind)() for line in lines]
        assert sizes == sorted(set(sizes), reverse=True)


def test_coinciding_rows_of_an_ablation() -> None:
    rows = {"a": [seed(50.0, 60.0, 61.0)], "b": [seed(50.0, 60.0, 61.0)], "c": [seed(50.0, 60.0, 61.5)]}
    figure = curves(rows)
    (axes,) = figure.axes
    assert dashed(axes) == [[50.0, 50.0]]
    assert "network alone" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert ticks(figure, axes) == ["0", "1", "2"]
    assert [list(line.get_xdata()) for line in axes.lines[:3]] == [[0, 1, 2]] * 3
    check_that_none_is_hidden(axes, 3)


def test_networks_that_were_trained_jointly_have_a_dashed_line_each() -> None:
    figure = curves({"a": [seed(50.0, 60.0), seed(52.0, 60.0)], "b": [seed(40.0, 60.0)]})
    assert dashed(figure.axes[0]) == [[51.0, 51.0], [40.0, 40.0]]
    colors = [line.get_color() for line in figure.axes[0].lines if line.get_linestyle() in ("-", "--")]
    assert colors[-2:] == [colors[0], colors[1]]


def test_curves_below_the_belief_maps() -> None:
    maps = [torch.zeros(1, 4, 6)] * 3
    nan = float("nan")
    seen = Iterations(("cat",), maps, maps, [nan, 0.5, 0.1], [nan, 0.2, 0.1], [1.0, 0.5, 0.4], [70.0, 72.0, 73.0])
    figure = belief_figure(torch.zeros(3, 4, 6, dtype=torch.uint8), seen, "cat")
    by_title = {axes.get_title(): axes for axes in figure.axes}
    assert dashed(by_title["mean IoU of this image, %"]) == [[70.0, 70.0]]
    assert dashed(by_title["free energy per pixel"]) == [[1.0, 1.0]]
    assert dashed(by_title["change of beliefs"]) == []
    assert ticks(figure, by_title["change of beliefs"]) == ["0", "1", "2"]


def test_the_network_is_dashed_in_bands_around_borders() -> None:
    rows = ("network", "network + dense CRF", "CRF-RNN T=5", "CRF-RNN T=10")
    bands = {row: {width: Score(50.0 + width) for width in (1, 2, 3)} for row in rows}
    figure = trimap_figure(bands)
    left, right = figure.axes
    for axes in (left, right):
        assert len(dashed(axes)) == 1
        assert ticks(figure, axes) == ["1", "2", "3"]
        check_that_none_is_hidden(axes, 3)
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["network alone", *rows[1:]]
