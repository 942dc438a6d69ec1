"""Mean field on one image as strips: what every iteration believes, how sure it is, and what it has changed."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import einsum
from torch import Tensor

from crfrnn import CRFRNN, MeanFieldState
from crfrnn.data import Sample, voc_palette
from crfrnn.nets import GuidedCRF
from eval.pictures.figures import overlay
from eval.scoring.metrics import most_likely

COLUMNS = 7  # states side by side
PAINT = 0.7  # opacity of colors that beliefs mix
MOST_BITS = 2.0  # entropy of four labels that are equally likely; the scale ends there


@dataclass(frozen=True)
class Scale:
    """The colors of a strip of numbers: `colors` from 0 to `end`, over the square root of the number where `root`."""

    colors: str
    end: float
    unit: str = ""
    root: bool = False


@dataclass(frozen=True)
class Strip:
    """One thing to see in every state.

    Attributes:
        scale: of numbers; None where the tiles have colors.
        tiles: numbers [h, w] or colors uint8 [3, h, w], one for each state; None where a state has none.
    """

    title: str
    scale: Scale | None
    tiles: list[Tensor | None]


@dataclass(frozen=True)
class Course:
    """The states shown, by name, and what is to be seen in each."""

    states: list[str]
    strips: list[Strip]


@torch.no_grad()
def course(
    crf: CRFRNN | GuidedCRF | None,
    unary: Tensor,
    sample: Sample,
    classes: Sequence[str],
    shown: Sequence[str],
    size: tuple[int, int],
) -> Course:
    """What the network believes, and what mean field of `crf` makes of it, at most `COLUMNS` states of it.

    Args:
        crf: over the labels named by `classes`; None for the network alone.
        unary: logits [1, L, H, W].
        shown: the labels whose beliefs are strips of their own.
        size: (h, w) of the tiles.
    """
    small = _resized(sample.image, size)
    states, found = [], []
    for state in _states(crf, unary, sample.image):
        states.append(f"iteration {state.iteration}" if state.iteration else "network")
        found.append(_tiles(state, classes, shown, small, size))
    titles = [f"belief in {name}" for name in shown]
    strips = [
        Strip(title, Scale("viridis", 1.0), [tiles["beliefs"][k] for tiles in found]) for k, title in enumerate(titles)
    ]
    strips.append(Strip("beliefs in all labels, mixed", None, [tiles["mixed"] for tiles in found]))
    strips.append(Strip("most likely label", None, [tiles["labels"] for tiles in found]))
    bits = min(MOST_BITS, math.log2(len(classes)))
    strips.append(Strip("entropy of the beliefs", Scale("magma", bits, " bits"), [tiles["entropy"] for tiles in found]))
    if crf is not None:
        changes = [tiles.get("change") for tiles in found]
        strips.append(Strip("belief that moved", Scale("magma", 1.0, root=True), changes))
    return Course(states, strips)


def shown_iterations(last: int) -> list[int]:
    """0 to `last`: all, or `COLUMNS` of them, the first ones and the last among them: the first change most."""
    if last < COLUMNS:
        return list(range(last + 1))
    first = (COLUMNS + 1) // 2
    rest = COLUMNS - first
    return [*range(first), *(first - 1 + round(i * (last - first + 1) / rest) for i in range(1, rest + 1))]


@dataclass(frozen=True)
class _Start:
    """The state that a network without a CRF is in."""

    logits: Tensor
    beliefs: Tensor
    iteration: int = 0
    previous: Tensor | None = None


def _states(crf: CRFRNN | GuidedCRF | None, unary: Tensor, image: Tensor) -> Iterator[MeanFieldState | _Start]:
    if crf is None:
        yield _Start(unary, unary.softmax(1))
        return
    wanted = shown_iterations(crf.num_iterations)
    yield from (state for state in crf.iterate(unary, image[None].to(unary)) if state.iteration in wanted)


def _tiles(
    state: MeanFieldState | _Start, classes: Sequence[str], shown: Sequence[str], small: Tensor, size: tuple[int, int]
) -> dict[str, Tensor]:
    """The tiles of one state, on the CPU."""
    beliefs = state.beliefs[0]
    entropy = -beliefs.xlogy(beliefs).sum(0) / math.log(2)
    maps = [*beliefs[[list(classes).index(name) for name in shown]], entropy]
    if state.previous is not None:
        maps.append((beliefs - state.previous[0]).abs().sum(0) / 2)
    fitted = F.interpolate(torch.stack(maps)[None], size=size, mode="area")[0].cpu()
    labels = F.interpolate(most_likely(state.logits)[None, None].float(), size=size, mode="nearest-exact")[0, 0].long()
    tiles = {
        "beliefs": fitted[: len(shown)],
        "entropy": fitted[len(shown)],
        "mixed": _mixed(beliefs, classes, small),
        "labels": overlay(_gray(small), labels, classes),
    }
    return tiles | {"change": fitted[-1]} if state.previous is not None else tiles


def _mixed(beliefs: Tensor, classes: Sequence[str], small: Tensor) -> Tensor:
    """The colors of all labels, each as strong as the belief in it, over a gray photo; the background has none."""
    colors = voc_palette()[: len(classes)].to(beliefs)
    opacity = torch.full((len(classes),), PAINT).to(beliefs)
    if "background" in classes:
        opacity[list(classes).index("background")] = 0.0
    fitted = F.interpolate(beliefs[None], size=small.shape[1:], mode="area")[0] * opacity[:, None, None]
    paint = einsum(fitted, colors, "label h w, label rgb -> rgb h w").cpu()
    return (_gray(small).float() * (1 - fitted.sum(0).cpu()) + paint).round().clamp(0, 255).to(torch.uint8)


def _gray(image: Tensor) -> Tensor:
    return image.float().mean(0, keepdim=True).to(torch.uint8).expand(3, -1, -1)


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(image[None].float(), size=size, mode="area")[0].round().to(torch.uint8)
