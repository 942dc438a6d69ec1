"""Pictures of mean field at work: score and belief maps of a label after every iteration.

They come as one figure, as the frames of an animation, or in TensorBoard with the iteration as the step, so that the slider
of the pictures walks through the iterations.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from eval.pictures.iterations import Iterations
from eval.scoring.lines import NETWORK_ALONE

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

COLUMNS = 6  # maps side by side before a new band begins
MAP_INCHES, BAR_INCHES, FRAME_INCHES = 2.2, 0.75, 3.2
CURVE_INCHES = 1.9
DPI = 110
FRAME_DPI = 80  # frames are 900 pixels wide at most, so that TensorBoard shows them whole
COLOR_MAPS = {"score": "magma", "belief": "viridis"}


def belief_figure(photo: Tensor, seen: Iterations, label: str, truth: Tensor | None = None) -> Figure:
    """Scores above, beliefs below, of the network and after every iteration, with color bars and curves.

    Args:
        photo: uint8 [3, H, W].
        seen: see `eval.pictures.iterations.watch`.
        label: one of `seen.labels`.
        truth: the same picture with labels painted over, uint8 [3, H, W]; shown below the photo.

    Raises ValueError where no maps of that label were kept.
    """
    maps = _maps(seen, label)
    count = len(seen.scores)
    columns = min(COLUMNS, count + 1)
    bands = -(-(count + 1) // columns)
    height = MAP_INCHES * photo.shape[1] / photo.shape[2]
    figure = Figure(
        figsize=(columns * MAP_INCHES + BAR_INCHES, bands * (2 * height + 0.35) + CURVE_INCHES + 0.3),
        dpi=DPI,
        layout="constrained",
    )
    figure.suptitle(f"{label}: score (before softmax) above, belief (after softmax) below", fontsize=11)
    upper, lower = _stacked(figure, (bands * (2 * height + 0.35), CURVE_INCHES))
    grid = upper.subplots(2 * bands, columns, squeeze=False)
    cells = [(2 * (i // columns), i % columns) for i in range(bands * columns)]
    for row, column in cells:
        grid[row, column].set_axis_off()
        grid[row + 1, column].set_axis_off()
    _show(grid[0, 0], photo, "input")
    if truth is not None:
        _show(grid[1, 0], truth, "truth")
    for t, (row, column) in enumerate(cells[1 : count + 1]):
        grid[row, column].set_title(_title(t), fontsize=9)
        pictures = {kind: _draw(grid[row + i, column], kind, maps, t) for i, kind in enumerate(maps)}
    for band in range(bands):
        for i, (kind, picture) in enumerate(pictures.items()):
            upper.colorbar(picture, ax=grid[2 * band + i, :], label=kind, fraction=0.02, pad=0.01, aspect=12)
    _curves(lower.subplots(1, 3 if seen.mean_iou else 2), seen)
    FigureCanvasAgg(figure).draw()  # tick labels come with the first layout and make room in the second
    return figure


def frames(photo: Tensor, seen: Iterations, label: str, curves: bool = True) -> Iterator[Tensor]:
    """Input, score and belief map of one label after every iteration: T + 1 pictures uint8 [3, h, w] of one size.

    Below them come the curves of `belief_figure` with a dot at the iteration, if asked for. Raises as `belief_figure`.
    """
    maps = _maps(seen, label)
    aspect = photo.shape[1] / photo.shape[2]
    top = FRAME_INCHES * aspect + 0.4
    figure = Figure((3 * FRAME_INCHES + 1.6, top + CURVE_INCHES * curves), dpi=FRAME_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    parts = _stacked(figure, (top, CURVE_INCHES)) if curves else [figure]
    axes = parts[0].subplots(1, 3)
    for each in axes:
        each.set_axis_off()
    _show(axes[0], photo, "")
    pictures = {kind: _draw(each, kind, maps, 0) for each, kind in zip(axes[1:], maps, strict=True)}
    for kind, each in zip(maps, axes[1:], strict=True):
        parts[0].colorbar(pictures[kind], ax=each, shrink=min(1.0, 1.1 * aspect), pad=0.01)
        each.set_title(f"{kind} of {label}", fontsize=10)
    dots = _curves(parts[1].subplots(1, 3 if seen.mean_iou else 2), seen) if curves else []
    for t in range(len(seen.scores)):
        for kind, picture in pictures.items():
            picture.set_data(maps[kind][t])
        axes[0].set_title(_title(t), fontsize=10)
        for dot, values in dots:
            dot.set_data([t], [values[t]])
        canvas.draw()
        figure.set_layout_engine("none")  # found once; frames must not differ in it
        yield torch.from_numpy(rearrange(np.asarray(canvas.buffer_rgba())[..., :3], "h w c -> c h w").copy())


def write_iterations(writer: "SummaryWriter", name: str, photo: Tensor, seen: Iterations) -> None:
    """Write score and belief maps of every label in `seen`, and its curves, to TensorBoard.

    Args:
        name: of the image; it heads the group of its pictures and that of its curves.
        photo: uint8 [3, H, W].

    By default TensorBoard keeps ten pictures of a tag: start it with `--samples_per_plugin images=100`.
    """
    for label in seen.labels:
        for t, picture in enumerate(frames(photo, seen, label, curves=False)):
            writer.add_image(f"beliefs of {name}/{label}", picture, t)
    curves = {
        "largest change of a belief": seen.largest_change[1:],
        "mean change of beliefs": seen.mean_change[1:],
        "free energy per pixel": seen.free_energy,
        "mean IoU": seen.mean_iou,
    }
    for title, values in curves.items():
        for t, value in enumerate(values, start=len(seen.scores) - len(values)):
            writer.add_scalar(f"mean field of {name}/{title}", value, t)


def _stacked(figure: Figure, heights: tuple[float, float]) -> np.ndarray:
    """Two parts of a figure, one above the other."""
    parts = figure.subfigures(2, 1, height_ratios=heights)
    assert isinstance(parts, np.ndarray)  # matplotlib's annotation leaves open what comes back
    return parts


def _maps(seen: Iterations, label: str) -> dict[str, list[np.ndarray]]:
    if label not in seen.labels:
        raise ValueError(f"there are no maps of {label!r}; there are maps of {', '.join(map(repr, seen.labels))}")
    k = seen.labels.index(label)
    return {
        "score": [each[k].numpy() for each in seen.scores],
        "belief": [each[k].numpy() for each in seen.beliefs],
    }


def _title(iteration: int) -> str:
    return f"iteration {iteration}" if iteration else "network"


def _show(axes: Axes, picture: Tensor, title: str) -> None:
    axes.imshow(rearrange(picture, "c h w -> h w c").numpy(), interpolation="lanczos")
    axes.set_title(title, fontsize=9)


def _draw(axes: Axes, kind: str, maps: dict[str, list[np.ndarray]], t: int) -> AxesImage:
    """One map; all maps of a kind share their colors, so that iterations can be compared."""
    low, high = (0.0, 1.0)
    if kind == "score":
        low, high = min(map(np.min, maps[kind])), max(map(np.max, maps[kind]))
    return axes.imshow(maps[kind][t], cmap=COLOR_MAPS[kind], vmin=low, vmax=high, interpolation="bilinear")


def _curves(axes: np.ndarray, seen: Iterations) -> list[tuple[Line2D, list[float]]]:
    """Change, free energy and mean IoU over the iterations; returns a movable dot of each with the values it follows."""
    panels = [("change of beliefs", {"largest": seen.largest_change, "mean": seen.mean_change})]
    panels.append(("free energy per pixel", {"after iterations": seen.free_energy}))
    if seen.mean_iou:
        panels.append(("mean IoU of this image, %", {"after iterations": seen.mean_iou}))
    dots = []
    for each, (title, lines) in zip(axes, panels, strict=True):
        for name, values in lines.items():
            (line,) = each.plot(range(len(values)), values, marker=".", markersize=4, linewidth=1.2, label=name)
            dots.append((each.plot([], [], "o", color=line.get_color(), markersize=7)[0], values))
        if len(lines) > 1:
            each.set_yscale("log")
        else:
            each.axhline(values[0], zorder=0, **NETWORK_ALONE)
        each.legend(fontsize=8, frameon=False)
        each.set_title(title, fontsize=9)
        each.set_xlabel("iteration", fontsize=8)
        each.set_xlim(-0.4, len(seen.scores) - 0.6)
        each.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        each.tick_params(labelsize=8)
        each.grid(True, color="0.9")
    return dots
