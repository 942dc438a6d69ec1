"""Losses of overlap against counts of pixels, and against the definition of the Lovasz extension."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crfrnn.losses import lovasz_softmax_loss, soft_jaccard_loss

LOSSES = [soft_jaccard_loss, lovasz_softmax_loss]


def problem(batch: int = 2, labels: int = 4, size: tuple[int, ...] = (3, 4)) -> tuple[Tensor, Tensor]:
    """Scores, and labels of which some are void and the last does not occur."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(batch, labels, *size, dtype=torch.float64, generator=generator)
    truth = torch.randint(labels - 1, (batch, *size), generator=generator)
    truth.view(batch, -1)[:, 1] = 255
    return scores, truth


def iou(found: Tensor, truth: Tensor, label: int) -> float:
    known = truth != 255
    a, b = (found == label) & known, (truth == label) & known
    return int((a & b).sum()) / int((a | b).sum())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [(12,), (3, 4), (2, 3, 2)])
def test_certain_probabilities_lose_what_is_missing_to_a_mean_iou_of_1(loss, size: tuple[int, ...]) -> None:  # type: ignore[no-untyped-def]
    scores, truth = problem(size=size)
    found = scores.argmax(1)
    certain = F.one_hot(found, 4).movedim(-1, 1).double()
    wanted = [
        sum(1 - iou(f, t, label) for label in t[t != 255].unique().tolist()) / len(t[t != 255].unique())
        for f, t in zip(found, truth, strict=True)
    ]
    assert loss(certain, truth).item() == pytest.approx(sum(wanted) / 2, abs=1e-12)


def test_soft_jaccard_by_hand() -> None:
    """Two pixels of label 0, one of label 1; the last is void."""
    p = torch.tensor([0.8, 0.5, 0.4, 0.9])
    found = soft_jaccard_loss(torch.stack([p, 1 - p])[None], torch.tensor([[0, 0, 1, 255]]))
    first = 1 - 1.3 / (2 + 1.7 - 1.3)
    second = 1 - 0.6 / (1 + 1.3 - 0.6)
    assert found.item() == pytest.approx((first + second) / 2)


def test_lovasz_is_the_largest_of_the_linear_functions_of_all_orders() -> None:
    """The extension of a submodular set function is the support function of its base polytope (Lovasz 1983)."""
    scores, truth = problem(batch=1, labels=3, size=(5,))
    probabilities = scores.softmax(1)
    known = truth[0] != 255
    losses = []
    for label in truth[0][known].unique().tolist():
        y = (truth[0] == label)[known]
        errors = (y.double() - probabilities[0, label][known]).abs()

        def set_loss(wrong: tuple[int, ...], y: Tensor = y) -> float:
            found = y.clone()
            for i in wrong:
                found[i] = ~found[i]
            return 1 - int((found & y).sum()) / int((found | y).sum())

        values = []
        for order in itertools.permutations(range(len(y))):
            steps = [set_loss(order[: i + 1]) - set_loss(order[:i]) for i in range(len(y))]
            values.append(sum(float(errors[i]) * step for i, step in zip(order, steps, strict=True)))
        losses.append(max(values))
    assert lovasz_softmax_loss(probabilities, truth).item() == pytest.approx(sum(losses) / len(losses), abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients(loss) -> None:  # type: ignore[no-untyped-def]
    scores, truth = problem()
    assert torch.autograd.gradcheck(lambda s: loss(s.softmax(1), truth), scores.requires_grad_())
    loss(scores.softmax(1), truth).backward()
    assert (scores.grad[(truth == 255)[:, None].expand_as(scores)] == 0).all()  # type: ignore[index]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_is_the_mean_of_its_images_and_one_without_labels_adds_nothing(loss) -> None:  # type: ignore[no-untyped-def]
    scores, truth = problem()
    probabilities = scores.softmax(1)
    singles = [loss(p[None], t[None]) for p, t in zip(probabilities, truth, strict=True)]
    torch.testing.assert_close(loss(probabilities, truth), sum(singles) / 2)
    truth[1] = 255
    torch.testing.assert_close(loss(probabilities, truth), singles[0] / 2)


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        (torch.zeros(2, 3, 4), TypeError, "integers"),
        (torch.zeros(2, 4, 3, dtype=torch.long), ValueError, r"wanted \[2, 3, 4\]"),
        (torch.full((2, 3, 4), 4), ValueError, "hold 4; wanted 0 to 3, or 255"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: Tensor, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        soft_jaccard_loss(problem()[0].softmax(1), labels)


def test_scores_are_no_probabilities() -> None:
    with pytest.raises(ValueError, match=r"logits\.softmax"):
        lovasz_softmax_loss(*problem())
