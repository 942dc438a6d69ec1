"""Each E-step against its definition written out in tests/weak/literal.py, and where that is silent, by hand."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from crfrnn.weak import adapted_scores, annotated_labels, box_labels, em_adapt, em_fixed, mil_peaks
from tests.weak import literal

SETS = [{0, 2, 4}, {0}, set(), {1, 3}, {0, 1, 2, 3, 4}]


@pytest.fixture
def scores() -> torch.Tensor:
    """Five images, five labels, an odd size, not contiguous."""
    return (3 * torch.randn(5, 5, 7, 9, dtype=torch.float64)).transpose(2, 3)


@pytest.fixture
def present() -> torch.Tensor:
    return torch.tensor([[label in labels for label in range(5)] for labels in SETS])


def rows(scores: torch.Tensor) -> list[list[list[float]]]:
    return rearrange(scores, "b l h w -> b l (h w)").tolist()


def flat(labels: torch.Tensor) -> list[list[int]]:
    return rearrange(labels, "b h w -> b (h w)").tolist()


def test_em_fixed(scores: torch.Tensor, present: torch.Tensor) -> None:
    got = flat(em_fixed(scores, present, 2.5, 1.5))
    for f, labels, found in zip(rows(scores), SETS, got, strict=True):
        assert found == literal.em_fixed(f, [labels] * 63, 2.5, 1.5)
    plain = scores.argmax(1)
    assert not torch.equal(em_fixed(scores, present), plain)
    assert torch.equal(em_fixed(scores, present, 0, 0), plain)


def test_em_fixed_inside_boxes(scores: torch.Tensor) -> None:
    boxes = torch.zeros(5, 9, 7, dtype=torch.uint8)
    boxes[0, 2:6, 1:4], boxes[0, 3:5, 2:7], boxes[1] = 3, 4, 2
    boxes[2, 0, 0] = 255
    got = flat(em_fixed(scores, box_labels(boxes, 5), 6.0, 5.0))
    for f, inside, found in zip(rows(scores), flat(boxes), got, strict=True):
        assert found == literal.em_fixed(f, [{label} for label in inside], 6.0, 5.0)


def as_tensor(rows: list[list[Fraction]]) -> torch.Tensor:
    return torch.tensor([[float(value) for value in row] for row in rows], dtype=torch.float64)


def shuffled(order: torch.Tensor) -> list[list[int]]:
    return [row.argsort().tolist() for row in order]


@pytest.mark.parametrize("rounds", [0, 1, 5])
@pytest.mark.parametrize("portions", [(0.2, 0.4), (0.0, 0.99), (0.5, 0.1)])
def test_em_adapt(scores: torch.Tensor, present: torch.Tensor, rounds: int, portions: tuple[float, float]) -> None:
    order = torch.rand(5, rounds, 5)
    got = adapted_scores(scores, present, *portions, rounds, order)
    labels = flat(em_adapt(scores, present, *portions, rounds, order))
    for b, f in enumerate(rows(scores)):
        expected = literal.adapt(f, SETS[b], *portions, shuffled(order[b]))
        torch.testing.assert_close(rearrange(got[b], "l h w -> l (h w)"), as_tensor(expected))
        assert labels[b] == literal.argmax(expected) or not rounds
        assert not SETS[b] or set(labels[b]) <= SETS[b]
    assert torch.equal(got[2], scores[2])  # without labels, nothing is known
    mean = torch.stack([got[b, sorted(labels)].amax(0).mean() for b, labels in enumerate(SETS) if labels])
    before = torch.stack([scores[b, sorted(labels)].amax(0).mean() for b, labels in enumerate(SETS) if labels])
    torch.testing.assert_close(mean, before)


def test_after_its_turn_a_label_wins_on_its_share_of_the_image() -> None:
    """Seen in the transcription, which the function equals, and at the end for the label that came last."""
    scores = torch.randn(1, 4, 10, 10, dtype=torch.float64)
    seen = []

    def count(label: int, f: list[list[Fraction]], top: list[Fraction]) -> None:
        seen.append((label, sum(value >= best for value, best in zip(f[label], top, strict=True))))

    order = torch.tensor([[[0.0, 3, 2, 1]]])  # background, then 3, 2
    adapted = literal.adapt(rows(scores)[0], {0, 2, 3}, 0.2, 0.4, shuffled(order[0]), count)
    assert [label for label, _ in seen] == [0, 3, 2]
    for label, pixels in seen:
        assert pixels >= (40 if label == 0 else 20) + 1  # its quota, and the pixel at which it just ties
    got = adapted_scores(scores, torch.tensor([[True, False, True, True]]), 0.2, 0.4, 1, order)
    torch.testing.assert_close(got, as_tensor(adapted).reshape(got.shape))
    winners = got[0, 2] >= got[0].amax(0) - 1e-12
    assert 21 <= int(winners.sum()) < 100


def test_orders_are_drawn_anew_and_can_be_given() -> None:
    scores, present = torch.randn(1, 6, 8, 8), torch.ones(1, 6, dtype=torch.bool)
    different = {tuple(flat(em_adapt(scores, present))[0]) for _ in range(8)}
    assert len(different) > 1
    torch.manual_seed(3)
    first = em_adapt(scores, present)
    torch.manual_seed(3)
    assert torch.equal(em_adapt(scores, present), first)


@pytest.mark.parametrize("offset", [0.0, 5000.0])
def test_absent_labels_do_not_win_ties(offset: float) -> None:
    """All scores are equal: the definition leaves the winner open. At 5000, the margin is below the rounding of float32."""
    scores = torch.full((1, 3, 4, 5), offset)
    for labels in ([2], [1, 2], [0, 2]):
        present = torch.zeros(1, 3, dtype=torch.bool)
        present[0, labels] = True
        assert set(flat(em_adapt(scores, present))[0]) <= set(labels)
        scores[:, 1] += 1.0
        assert set(flat(em_adapt(scores, present))[0]) <= set(labels)
    assert set(flat(em_fixed(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, dtype=torch.bool), 1, 0))[0]) == {0}


def test_multiple_instances(scores: torch.Tensor, present: torch.Tensor) -> None:
    peaks = mil_peaks(scores, present)
    assert torch.equal(peaks.sum((2, 3)), present.long())
    log = scores.log_softmax(1)
    for b, f in enumerate(rows(scores)):
        assert -float(log[b][peaks[b]].sum()) == pytest.approx(literal.mil_loss(f, SETS[b]), abs=1e-9)
    shared = torch.zeros(1, 3, 2, 2)  # one pixel is the best of two labels
    shared[0, 1:, 1, 0] = 1.0
    both = mil_peaks(shared, torch.tensor([[False, True, True]]))
    assert both[0, 1:, 1, 0].all()
    assert int(both.sum()) == 2


@pytest.mark.parametrize("step", [em_fixed, em_adapt])
def test_the_gradient_is_that_of_a_constant_target(step: object, scores: torch.Tensor, present: torch.Tensor) -> None:
    order = {"order": torch.rand(5, 5, 5)} if step is em_adapt else {}
    target = step(scores, present, **order)
    assert not target.requires_grad
    ours, theirs = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    F.cross_entropy(ours, step(ours, present, **order)).backward()
    probabilities = theirs.softmax(1)
    constant = F.one_hot(target, 5).movedim(-1, 1)
    expected = (probabilities - constant).detach() / target.numel()
    torch.testing.assert_close(ours.grad, expected)


def test_labels_that_occur() -> None:
    maps = torch.tensor([[[0, 4, 255]], [[255, 255, 255]], [[2, 2, 2]]], dtype=torch.uint8)
    assert annotated_labels(maps, 5).tolist() == [
        [True, False, False, False, True], [False] * 5, [False, False, True, False, False]
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"labels 0\.\.4, but there are scores for 0\.\.3 only"):
        annotated_labels(maps, 4)
    with pytest.raises(ValueError, match="scores for"):
        box_labels(maps, 4)
    inside = box_labels(maps, 5)
    assert inside[0, :, 0].tolist() == [[True] * 3, [False] * 3, [False] * 3, [False] * 3, [False, True, False]]
    assert inside[1, 1:].any() == torch.tensor(False)


def test_what_makes_no_sense_is_refused() -> None:
    scores, present = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"present has shape \[2, 4\], the scores \[2, 3, 4, 4\]"):
        em_fixed(scores, torch.zeros(2, 4, dtype=torch.bool))
    with pytest.raises(TypeError, match="wanted bool"):
        em_adapt(scores, present.long())
    with pytest.raises(TypeError, match="present is a list; wanted a tensor"):
        em_fixed(scores, present.tolist())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="floating-point"):
        mil_peaks(scores.long(), present)
    with pytest.raises(ValueError, match="at least 0"):
        em_fixed(scores, present, background_bias=-1)
    with pytest.raises(ValueError, match="below 1"):
        em_adapt(scores, present, background_portion=1.0)
    with pytest.raises(ValueError, match="order has shape"):
        em_adapt(scores, present, order=torch.rand(2, 3))
    with pytest.raises(ValueError, match="whole images"):
        em_adapt(scores, torch.zeros(2, 3, 4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="one bag"):
        mil_peaks(scores, torch.zeros(2, 3, 4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="diverged"):
        em_adapt(scores / 0, present)
    with pytest.raises(ValueError, match="at most 1e"):
        adapted_scores(scores.double() + 3e38, present)
    with pytest.raises(ValueError, match=r"wanted maps \[B, H, W\]"):
        annotated_labels(torch.zeros(3, 3, dtype=torch.long), 3)
    with pytest.raises(TypeError, match="wanted integers"):
        annotated_labels(torch.zeros(1, 3, 3), 3)


def test_half_precision_is_widened() -> None:
    scores = torch.randn(2, 4, 6, 6)
    present = torch.ones(2, 4, dtype=torch.bool)
    order = torch.rand(2, 5, 4)
    half = scores.bfloat16()
    assert torch.equal(em_adapt(half, present, order=order), em_adapt(half.float(), present, order=order))
    assert adapted_scores(half, present).dtype == torch.float32
