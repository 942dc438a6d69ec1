"""Frank-Wolfe: sparsemax by its conditions, one step by hand, and energies over a grid of steps."""

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, residual
from crfrnn.solvers.frank_wolfe import sparsemax
from tests.solvers.problems import KERNELS, LABELS, attracting, dense_pair_term, photograph, problem, rows, scores


def projection(row: Tensor) -> Tensor:
    """The distribution nearest to a row, by bisection for the threshold that makes the rest sum to 1."""
    low, high = row.max() - 1, row.max()
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (row - middle).clamp(min=0).sum() > 1 else (low, middle)
    return (row - low).clamp(min=0)


@pytest.mark.parametrize("labels", [2, 7])
@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])
def test_sparsemax_is_the_nearest_distribution(labels: int, spread: float) -> None:
    values = spread * torch.randn(50, labels, dtype=torch.float64)
    values[0] = 0
    found = sparsemax(values)
    torch.testing.assert_close(found, torch.stack([projection(row) for row in values]), rtol=0, atol=1e-12)


def test_sparsemax_of_large_and_of_hidden_scores() -> None:
    """The constant of a row changes nothing, however large; -inf is a label that is not there."""
    found = sparsemax(torch.tensor([[1e9, 1e9 - 1e4, -1e9], [0.25, 0.0, -torch.inf]]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0, 0.0], [0.625, 0.375, 0.0]]))


def test_sparsemax_has_the_gradient_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(sparsemax, torch.randn(6, 4, dtype=torch.float64, requires_grad=True))


def test_one_step_by_hand() -> None:
    """Two pixels that hear only each other, with weight 1: every number of the first step can be written down."""
    unary = torch.tensor([[[[0.0, 0.0]], [[0.0, 0.4]]]], dtype=torch.float64)
    image = torch.full((1, 3, 1, 2), 50.0, dtype=torch.float64)
    settings = {"kernels": KERNELS[:1], "exclude_self": True, "kernel_weights": "scalar", "filter": "exact"}
    crf = CRFRNN(2, **settings, solver="frank_wolfe", step=0.5).double()
    crf.cell.kernel_weights.data[:] = 1.0
    *_, state = crf.iterate(unary, image, 1)
    q = 1 / (1 + torch.tensor(0.4, dtype=torch.float64).exp())  # the belief of pixel 1 in label 0; pixel 0 has 1/2
    # Pixel 0 has x = (0 - (1 - q), 0 - q), whose projection is 1/2 + (x_0 - x_1) / 2 = q; pixel 1 has x = (-0.5, 0.4 - 0.5).
    wanted = torch.stack([(0.5 + q) / 2, (q + 0.3) / 2])
    torch.testing.assert_close(state.beliefs[0, 0, 0], wanted)
    torch.testing.assert_close(state.logits[0, 0, 0], (wanted + 1e-9).log())


def dense(crf: CRFRNN, unary: Tensor, image: Tensor, iterations: int) -> Tensor:
    """Beliefs [N, L] with loops over everything, the step of line search found among a million."""
    pair, u = dense_pair_term(crf, image[0]), rows(unary)[0]

    def penalty(values: Tensor) -> Tensor:
        return (pair @ values.flatten()).view_as(u)

    q = u.softmax(1)
    for t in range(iterations):
        x = (u - penalty(q)) / crf.regularizer_weight
        way = (torch.stack([projection(row) for row in x]) if crf.regularizer == "l2" else x.softmax(1)) - q
        if crf.step == "line_search":
            steps = torch.linspace(0, 1, 1_000_001, dtype=torch.float64)
            constant, slope = (q * (penalty(q) / 2 - u)).sum(), (q * penalty(way) + way * penalty(q)).sum() / 2
            slope = slope - (way * u).sum()
            curvature = (way * penalty(way)).sum()
            step = float(steps[(constant + slope * steps + curvature * steps**2 / 2).argmin()])
        else:
            step = 2 / (t + 2) if crf.step == "standard" else crf.step
        q = q + step * way
    return q


@pytest.mark.parametrize("regularizer", ["l2", "entropy"])
@pytest.mark.parametrize("step", [0.3, 1.0, "standard", "line_search"])
@pytest.mark.parametrize("normalization", ["after", "none"])
def test_beliefs_are_those_of_loops(regularizer: str, step: float | str, normalization: str) -> None:
    unary, image = problem(1)
    crf = CRFRNN(
        LABELS, KERNELS, 4, normalization, solver="frank_wolfe", regularizer=regularizer, regularizer_weight=0.7, step=step,
        filter="exact", compatibility=torch.eye(LABELS) - 0.2,
    ).double()  # fmt: skip
    *_, state = crf.iterate(unary, image)
    torch.testing.assert_close(rows(state.beliefs)[0], dense(crf, unary, image, 4), rtol=0, atol=1e-5)
    torch.testing.assert_close(crf(unary, image), state.logits)


def test_every_image_of_a_batch_has_its_own_step() -> None:
    unary, image = problem(3)
    crf = CRFRNN(LABELS, KERNELS, 5, solver="frank_wolfe", step="line_search", regularizer_weight=3.0).double()
    apart = torch.cat([crf(unary[i : i + 1], image[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(crf(unary, image), apart)


def test_entropy_of_weight_1_with_whole_steps_is_mean_field() -> None:
    unary, image = problem()
    crf = CRFRNN(LABELS, KERNELS, 4, solver="frank_wolfe", regularizer="entropy").double()
    wanted = CRFRNN(LABELS, KERNELS, 4).double()(unary, image).softmax(1)
    torch.testing.assert_close(crf(unary, image).softmax(1), wanted)


@pytest.mark.parametrize("compatibility", ["potts", torch.eye(4)])
@pytest.mark.parametrize("regularizer", ["l2", "entropy"])
def test_line_search_never_raises_the_energy(compatibility: str | Tensor, regularizer: str) -> None:
    image = photograph()
    unary = scores(image)
    crf = CRFRNN(
        4, attracting(), normalization="none", compatibility=compatibility, solver="frank_wolfe", step="line_search",
        regularizer=regularizer,
    ).double()  # fmt: skip
    with torch.no_grad():
        states = list(crf.iterate(unary, image, 15))
        entropies = [-state.beliefs.xlogy(state.beliefs).sum() for state in states]
        values = torch.cat([state.free_energy() + h for state, h in zip(states, entropies, strict=True)])
    assert float((values.diff() / values.abs().amax()).max()) <= 1e-13
    assert values[-1] < values[0]


def test_residual_is_the_change_that_a_whole_step_makes() -> None:
    unary, image = problem()
    crf = CRFRNN(LABELS, KERNELS, 200, solver="frank_wolfe", regularizer_weight=4.0).double()
    early = crf(unary, image, 2).detach()
    *_, before, after = crf.iterate(unary, image, 3)
    wanted = (after.beliefs - before.beliefs).abs().amax((1, 2, 3))
    torch.testing.assert_close(residual(crf, early, unary, image), wanted, rtol=0, atol=1e-8)
    assert float(residual(crf, crf(unary, image).detach(), unary, image).max()) < 1e-8


@pytest.mark.parametrize("step", [0.7, "line_search"])
def test_gradients_are_those_of_finite_differences(step: float | str) -> None:
    unary, image = problem(1)
    crf = CRFRNN(
        LABELS, KERNELS, 2, solver="frank_wolfe", regularizer="entropy", step=step, compatibility=torch.eye(LABELS)
    ).double()

    def beliefs(unary: Tensor, weights: Tensor) -> Tensor:
        crf.cell.kernel_weights = torch.nn.Parameter(weights.detach())
        return torch.func.functional_call(crf, {"cell.kernel_weights": weights}, (unary, image)).softmax(1)

    weights = torch.tensor([0.8, 1.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(beliefs, (unary.requires_grad_(), weights), atol=1e-6, fast_mode=True)
