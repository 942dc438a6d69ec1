"""E-steps: what their definitions give, pixel by pixel; absent labels never win; targets from boxes keep to the boxes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

from crfrnn.data import LabeledBox
from crfrnn.weak import em_adapt, em_fixed, mask_scribbles, mil_peaks, rect_targets
from tests.fuzz.layers import DTYPES, exponents
from tests.fuzz.property import REFUSED, RIGHT, Property, answer_or_refusal
from tests.weak import literal


class Case(NamedTuple):
    shape: tuple[int, int, int, int]  # batch, labels, height, width
    dtype: torch.dtype
    scale: float
    levels: int  # of the scores: few make ties
    odd: str  # what is put into the scores
    share: float  # of the labels that are present
    boxes: bool  # whether presence is by pixel
    biases: tuple[float, float]
    portions: tuple[float, float]
    rounds: int
    seed: int


CASES = st.builds(
    Case,
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)),
    dtype=DTYPES,
    scale=exponents(-30, 31),
    levels=st.integers(1, 50),
    odd=st.sampled_from(["", "", "", "", "", "", "nan", "inf", "-inf"]),
    share=st.floats(0, 1),
    boxes=st.booleans(),
    biases=st.tuples(st.floats(-0.5, 10), st.floats(0, 10)),
    portions=st.tuples(st.floats(0, 1), st.floats(-0.1, 0.99)),
    rounds=st.integers(0, 4),
    seed=st.integers(0, 2**31),
)


def draw(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    """Scores [B, L, H, W], presence and the order of turns."""
    source = torch.Generator().manual_seed(case.seed)
    batch, labels, *_ = case.shape
    whole = torch.randint(-case.levels, case.levels + 1, case.shape, generator=source)
    scores = (case.scale * whole.double() / case.levels).to(case.dtype)
    if case.odd:
        scores.view(-1)[-1] = float(case.odd)
    shape = case.shape if case.boxes else case.shape[:2]
    present = torch.rand(shape, generator=source) < case.share
    return scores, present, torch.rand(batch, case.rounds, labels, generator=source)


def check(case: Case) -> str:
    scores, present, order = draw(case)
    kept = scores.clone(), present.clone()
    fixed, fixed_refusal = answer_or_refusal(lambda: em_fixed(scores, present, *case.biases))
    adapted, adapt_refusal = answer_or_refusal(lambda: em_adapt(scores, present, *case.portions, case.rounds, order))
    peaks, peak_refusal = answer_or_refusal(lambda: mil_peaks(scores, present))
    assert torch.equal(scores, kept[0]) or case.odd == "nan", "the scores were written to"
    assert torch.equal(present, kept[1]), "presence was written to"
    if fixed_refusal is None:
        check_fixed(case, scores, present, fixed)
    if adapt_refusal is None:
        assert not case.boxes
        hidden = ~present & present.any(1, keepdim=True)
        assert not hidden[:, :, None, None].expand(case.shape).gather(1, adapted[:, None]).any(), "an absent label wins"
        check_adapted(case, scores, present, order, adapted)
    if peak_refusal is None:
        assert torch.equal(peaks.flatten(2).sum(2), present.long()), "not one peak a label that is present"
    return REFUSED if fixed_refusal and adapt_refusal and peak_refusal else RIGHT


def check_fixed(case: Case, scores: Tensor, present: Tensor, fixed: Tensor) -> None:
    """By the definition, in float64: no label has more than the winner but for the rounding of the scores' type."""
    where = present if case.boxes else present[:, :, None, None].expand(case.shape)
    for own, here, found in zip(scores, where, fixed, strict=True):
        biases = torch.where(here, case.biases[0], 0.0)
        biases[0] = case.biases[1]
        biased = own.double() + biases
        winner = biased.gather(0, found[None])[0]
        rounding = 4 * torch.finfo(case.dtype).eps * (own.abs().double().amax(0) + max(case.biases))
        assert (winner >= biased.amax(0) - rounding).all(), "another label has more"


def check_adapted(case: Case, scores: Tensor, present: Tensor, order: Tensor, adapted: Tensor) -> None:
    """In exact fractions, for the first image: no other label that is present has more than the winner."""
    if case.dtype != torch.float64 or not 1e-3 < case.scale < 1e6:
        return
    here = {label for label, known in enumerate(present[0].tolist()) if known}
    turns = [turn.argsort().tolist() for turn in order[0]]
    f = literal.adapt(scores[0].flatten(1).tolist(), here, *case.portions, turns)
    for pixel, label in enumerate(adapted[0].flatten().tolist()):
        best = max(f[other][pixel] for other in here or range(len(f)))
        assert f[label][pixel] >= best - 1e-9 * case.scale, f"pixel {pixel} has label {label}, though another is larger"


BOXES = st.tuples(
    st.lists(
        st.builds(
            LabeledBox,
            label=st.sampled_from([*range(24), 255, 255, 256, -1]),
            top=st.integers(0, 2), left=st.integers(0, 2), bottom=st.integers(2, 6), right=st.integers(2, 6),
        ),
        max_size=4,
    ),
    st.integers(5, 7),
    st.integers(5, 7),
)  # fmt: skip


def check_boxes(case: tuple[list[LabeledBox], int, int]) -> str:
    """By looking for the smallest box over every pixel."""
    boxes, height, width = case
    targets, refusal = answer_or_refusal(lambda: rect_targets(boxes, height, width))
    inside = all(0 <= b.top < b.bottom <= height and 0 <= b.left < b.right <= width for b in boxes)
    assert (refusal is None) == (inside and all(0 <= b.label <= 255 for b in boxes)), f"refused: {refusal}"
    if refusal is not None:
        return REFUSED
    for y in range(height):
        for x in range(width):
            over = [b for b in boxes if b.top <= y < b.bottom and b.left <= x < b.right]
            smallest = min((b.area for b in over), default=0)
            wanted = [b.label for b in over if b.area == smallest] or [0]
            assert targets[y, x] == wanted[-1], f"{targets[y, x]} at {y}, {x} for {wanted[-1]}"
    return RIGHT


MASKS = st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(1, 30), st.integers(0, 2**31))


def check_scribbles(case: tuple[int, int, int, int]) -> str:
    """In random blocks of labels: points lie on their label, every label has a stroke, and a seed gives the same again."""
    height, width, block, seed = case
    coarse = torch.randint(
        0, 5, (-(-height // block), -(-width // block)), generator=torch.Generator().manual_seed(seed)
    )
    coarse[coarse == 4] = 255
    labels = coarse.repeat_interleave(block, 0).repeat_interleave(block, 1)[:height, :width]
    strokes = mask_scribbles(labels, seed)
    assert all(labels[point] == stroke.label for stroke in strokes for point in stroke.points), "a point off its label"
    assert {stroke.label for stroke in strokes} == set(labels.unique().tolist()) - {255}, "a label without a stroke"
    assert all(stroke.points for stroke in strokes), "a stroke without a point"
    assert strokes == mask_scribbles(labels, seed), "another stroke from the same seed"
    return RIGHT


PROPERTIES = [
    Property("E-steps", CASES, check),
    Property("targets from boxes", BOXES, check_boxes),
    Property("scribbles from masks", MASKS, check_scribbles),
]
