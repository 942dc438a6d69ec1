"""One picture of an image while a model trains: photo, truth, prediction, and its beliefs over the mean-field iterations."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import IdentityTransform
from torch import Tensor

from crfrnn import CRFRNN
from crfrnn.data import VOID, Sample, voc_palette
from crfrnn.nets import GuidedCRF
from eval.pictures.course import COLUMNS, Scale, Strip, course
from eval.pictures.figures import overlay
from eval.scoring.metrics import image_mean_iou

SIDE = 900  # no side of a sheet is longer, so that TensorBoard shows it whole
DPI = 100
LEFT, TITLE, GAP, BAR = 118, 18, 3, 8  # pixels
HEADER = 58  # height of the name and the scale of a strip
ENTRY = 15  # height of a line of the legend
POINTS = 8.0


@dataclass(frozen=True)
class _Layout:
    """Sizes in pixels. Strips are rows, and states columns; a single state has its strips as columns."""

    tile: tuple[int, int]
    picture: tuple[int, int]
    rows: int
    columns: int

    @property
    def across(self) -> bool:
        """Whether strips are columns."""
        return self.rows == 1

    @property
    def pitch(self) -> int:
        """From one row to the next."""
        return max(self.tile[0], 0 if self.across else HEADER) + GAP

    @property
    def top(self) -> int:
        """Where the first row begins: below the pictures and the names of the columns."""
        return TITLE + max(self.picture[0], 4 * ENTRY) + (HEADER if self.across else TITLE) + GAP

    @property
    def height(self) -> int:
        return self.top + self.rows * self.pitch

    @property
    def width(self) -> int:
        return max(LEFT + self.columns * (self.tile[1] + GAP), 3 * LEFT)

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Top and left of a tile."""
        return self.top + row * self.pitch, LEFT + column * (self.tile[1] + GAP)


def sheet(
    sample: Sample,
    unary: Tensor,
    prediction: Tensor,
    crf: CRFRNN | GuidedCRF | None,
    classes: Sequence[str],
    shown: Sequence[str],
) -> Tensor:
    """The sheet of one image, uint8 [3, h, w], no side above `SIDE`.

    Args:
        unary: logits [1, L, H, W].
        prediction: the labels of the model as a whole, uint8 [H, W].
        crf: that of the model; None for a network alone.
        classes: names of the labels.
        shown: the labels whose beliefs are shown one by one.
    """
    states = 1 if crf is None else min(COLUMNS, crf.num_iterations + 1)
    layout = _layout(sample.labels.shape[0], sample.labels.shape[1], states, len(shown) + (3 if states == 1 else 4))
    found = course(crf, unary, sample, classes, shown, layout.tile)
    page = _Page(layout)
    page.pictures(sample, prediction, classes)
    names = [textwrap.shorten(name, 22, placeholder="...") for name in found.states]
    for number, strip in enumerate(found.strips[: max(layout.rows, layout.columns)]):
        page.strip(number, strip)
    if layout.across:
        page.text(GAP, layout.corner(0, 0)[0] + layout.tile[0] // 2, names[0], "left")
    else:
        for column, name in enumerate(names):
            top, left = layout.corner(0, column)
            page.text(left + layout.tile[1] // 2, top - TITLE // 2, name)
    return page.drawn()


def _layout(height: int, width: int, states: int, strips: int) -> _Layout:
    """The largest tiles with which the sheet keeps to `SIDE`."""
    rows, columns = (1, strips) if states == 1 else (strips, states)
    for w in range((SIDE - LEFT) // columns - GAP, 0, -1):
        across = (columns * (w + GAP) - 3 * GAP) // 3
        picture = (max(1, round(across * height / width)), max(1, across))
        found = _Layout((max(1, round(w * height / width)), w), picture, rows, columns)
        if found.height <= SIDE:
            return found
    return _Layout((1, 1), (1, 1), rows, columns)


class _Page:
    """A white page that is painted on."""

    def __init__(self, layout: _Layout) -> None:
        self.layout = layout
        self.canvas = np.full((layout.height, layout.width, 3), 255, dtype=np.uint8)
        self.figure = Figure(figsize=(layout.width / DPI, layout.height / DPI), dpi=DPI)

    def paint(self, picture: np.ndarray, top: int, left: int) -> None:
        self.canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture

    def text(self, x: float, y: float, words: str, align: str = "center", points: float = POINTS) -> None:
        self.figure.text(
            x, self.layout.height - y, words, ha=align, va="center", fontsize=points, transform=IdentityTransform()
        )

    def pictures(self, sample: Sample, prediction: Tensor, classes: Sequence[str]) -> None:
        """Photo, truth and prediction in the first row, and what their colors mean."""
        height, width = self.layout.picture
        photo = F.interpolate(sample.image[None].float(), size=(height, width), mode="area")[0].round().to(torch.uint8)
        gray = photo.float().mean(0, keepdim=True).to(torch.uint8).expand(3, -1, -1)
        maps = [_nearest(labels, (height, width)) for labels in (sample.labels, prediction)]
        score = ""
        if bool((sample.labels != VOID).any()):
            score = f", mean IoU {image_mean_iou(prediction, sample.labels, classes):.1f} %"
        titles = (textwrap.shorten(sample.name, 30, placeholder="..."), "truth", f"prediction{score}")
        pictures = (photo, *(overlay(gray, labels, classes) for labels in maps))
        for i, (title, picture) in enumerate(zip(titles, pictures, strict=True)):
            left = LEFT + i * (width + GAP)
            self.text(left + width / 2, TITLE / 2, title)
            self.paint(rearrange(picture, "c h w -> h w c").numpy(), TITLE, left)
        self.legend(maps, classes)

    def legend(self, maps: Sequence[Tensor], classes: Sequence[str]) -> None:
        """Names and colors of the labels in sight, the most frequent first, as far as there is room."""
        counts = torch.bincount(torch.cat([labels.flatten() for labels in maps]), minlength=VOID + 1)
        present = [k for k in counts.argsort(descending=True, stable=True).tolist() if counts[k]]
        room = max(self.layout.picture[0], 4 * ENTRY) // ENTRY
        listed = present if len(present) <= room else present[: room - 1]
        for line, label in enumerate(listed):
            name = "void" if label == VOID else classes[label]
            top = TITLE + line * ENTRY
            self.paint(np.full((10, 10, 3), 90, dtype=np.uint8), top + 2, GAP)
            color = 255 if name == "background" else voc_palette()[label].numpy()
            self.paint(np.zeros((8, 8, 3), dtype=np.uint8) + np.uint8(color), top + 3, GAP + 1)
            self.text(GAP + 15, top + 7, textwrap.shorten(name, 15, placeholder="..."), "left")
        if len(listed) < len(present):
            words = f"and {len(present) - len(listed)} more"
            self.text(GAP + 15, TITLE + len(listed) * ENTRY + 7, words, "left")

    def strip(self, number: int, strip: Strip) -> None:
        """The tiles of a strip, with its name and its scale beside or above them."""
        for i, tile in enumerate(strip.tiles):
            top, left = self.layout.corner(0, number) if self.layout.across else self.layout.corner(number, i)
            if tile is not None:
                picture = (
                    rearrange(tile, "c h w -> h w c").numpy() if strip.scale is None else _colored(tile, strip.scale)
                )
                self.paint(picture, top, left)
        top, left = self.layout.corner(0, number) if self.layout.across else self.layout.corner(number, 0)
        self.header(strip, *((top - HEADER, left) if self.layout.across else (top, GAP)))

    def header(self, strip: Strip, top: int, left: int) -> None:
        width = min(self.layout.tile[1], LEFT) if self.layout.across else LEFT - 3 * GAP
        lines = textwrap.wrap(textwrap.shorten(strip.title, 32, placeholder="..."), 18)
        for i, line in enumerate(lines):
            self.text(left, top + 8 + 13 * i, line, "left")
        if strip.scale is None:
            return
        below = top + 16 + 13 * (len(lines) - 1)
        ramp = torch.linspace(0, strip.scale.end, width).expand(BAR, -1)
        self.paint(_colored(ramp, strip.scale), below, left)
        self.text(left, below + BAR + 7, "0", "left", 7)
        self.text(left + width, below + BAR + 7, f"{strip.scale.end:.3g}{strip.scale.unit}", "right", 7)

    def drawn(self) -> Tensor:
        self.figure.figimage(self.canvas, origin="upper")
        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()
        return torch.from_numpy(rearrange(np.asarray(canvas.buffer_rgba())[..., :3], "h w c -> c h w").copy())


def _colored(values: Tensor, scale: Scale) -> np.ndarray:
    share = (values / scale.end).clamp(0, 1).float().numpy()
    return colormaps[scale.colors](np.sqrt(share) if scale.root else share, bytes=True)[..., :3]


def _nearest(labels: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(labels[None, None].float(), size=size, mode="nearest-exact")[0, 0].long()
