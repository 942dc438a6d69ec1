"""The E-step in a training step: what it is told, what does not depend on the batch, and the numbers about it."""

from dataclasses import replace

import pytest
import torch

from crfrnn.weak import em_adapt, em_fixed, mil_peaks
from tests.weak import literal
from train.recipes import EStep, Source
from train.steps.loss import estimate, quotas, target_count, turns, weak_loss

IMAGE = Source(count=1, split="", annotation="image")
VOID_MAP = torch.full((2, 6, 7), 255)


@pytest.fixture
def logits() -> torch.Tensor:
    return 2 * torch.randn(2, 4, 6, 7)


PRESENT = torch.tensor([[True, False, True, False], [False, True, True, True]])


def test_em_adapt_of_an_image_does_not_depend_on_its_batch(logits: torch.Tensor) -> None:
    seeds = torch.tensor([5, 9])
    both = estimate(logits, VOID_MAP, PRESENT, seeds, IMAGE)
    assert not torch.equal(turns(seeds[:1], IMAGE.e_step, 4), turns(seeds[1:], IMAGE.e_step, 4))
    for b in range(2):
        alone = estimate(logits[b : b + 1], VOID_MAP[:1], PRESENT[b : b + 1], seeds[b : b + 1], IMAGE)
        assert torch.equal(alone, both[b : b + 1])
        order = turns(seeds[b : b + 1], IMAGE.e_step, 4)
        assert torch.equal(alone, em_adapt(logits[b : b + 1], PRESENT[b : b + 1], order=order))


def test_settings_reach_the_e_step(logits: torch.Tensor) -> None:
    seeds = torch.tensor([5, 9])
    step = EStep("em-fixed", 1.5, 0.5)
    got = estimate(logits, VOID_MAP, PRESENT, seeds, replace(IMAGE, e_step=step))
    assert torch.equal(got, em_fixed(logits, PRESENT, 1.5, 0.5))
    step = EStep("em-adapt", foreground_portion=0.1, background_portion=0.7, rounds=2)
    got = estimate(logits, VOID_MAP, PRESENT, seeds, replace(IMAGE, e_step=step))
    assert torch.equal(got, em_adapt(logits, PRESENT, 0.1, 0.7, 2, turns(seeds, step, 4)))


def test_boxes_are_the_bounds_of_the_bias_and_void_stays_void(logits: torch.Tensor) -> None:
    boxes = torch.zeros(2, 6, 7, dtype=torch.long)
    boxes[0, 1:4, 2:5], boxes[1, 5] = 3, 255
    source = replace(IMAGE, annotation="boxes", e_step=EStep("em-fixed", 6.0, 5.0))
    got = estimate(logits, boxes, PRESENT, torch.zeros(2), source)
    for b in range(2):
        inside = [{label} for label in boxes[b].flatten().tolist()]
        wanted = torch.tensor(literal.em_fixed(logits[b].flatten(1).tolist(), inside, 6.0, 5.0)).reshape(6, 7)
        assert torch.equal(got[b], wanted.masked_fill(boxes[b] == 255, 255))
    loss, target = weak_loss(logits, boxes, PRESENT, torch.zeros(2), source)
    assert target_count(boxes, PRESENT, source) == 84 - 7 == int((target != 255).sum())
    log = logits.log_softmax(1)
    picked = log.gather(1, target.clamp(max=3)[:, None])[:, 0][target != 255]
    assert float(loss) == pytest.approx(-float(picked.sum()), rel=1e-5)


def test_instances(logits: torch.Tensor) -> None:
    source = replace(IMAGE, e_step=EStep("mil"))
    loss, target = weak_loss(logits, VOID_MAP, PRESENT, torch.zeros(2), source)
    sets = [{0, 2}, {1, 2, 3}]
    wanted = sum(literal.mil_loss(logits[b].flatten(1).tolist(), sets[b]) for b in range(2))
    assert float(loss) == pytest.approx(wanted, rel=1e-5)
    assert target_count(VOID_MAP, PRESENT, source) == 5
    peaks = mil_peaks(logits, PRESENT)
    assert [set(target[b].unique().tolist()) - {255} <= sets[b] for b in range(2)] == [True, True]
    assert ((target != 255) == peaks.any(1)).all()


def test_every_position_of_a_weak_image_is_a_target(logits: torch.Tensor) -> None:
    assert target_count(VOID_MAP, PRESENT, IMAGE) == 84
    assert target_count(VOID_MAP, PRESENT, replace(IMAGE, annotation="pixels")) == 0


def test_shares_by_hand() -> None:
    """Two images of ten positions. In the first 4 of background, 3 of label 2, 3 of label 1, which is absent; in the
    second, where background is absent, 5 void, 1 of background, 4 of label 1."""
    target = torch.tensor([[[0, 0, 0, 0, 2, 2, 2, 1, 1, 1]], [[255, 255, 255, 255, 255, 0, 1, 1, 1, 1]]])
    present = torch.tensor([[True, False, True], [False, True, True]])
    totals, counts = quotas(target, present)
    assert totals.tolist() == pytest.approx([0.4 + 0.2, 0.3 + 0.8 + 0.0, 0.3])
    assert counts.tolist() == [2, 3, 2]
