"""Damped mean field against its formula written out, and the free energy that "auto" never raises."""

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, grid_kernel, native, residual
from crfrnn.solvers.damped import largest_exchange
from tests.solvers.problems import KERNELS, LABELS, attracting, dense_pair_term, photograph, problem, rows, scores


def energies(crf: CRFRNN, unary: Tensor, image: Tensor, iterations: int) -> Tensor:
    with torch.no_grad():
        return torch.cat([state.free_energy() for state in crf.iterate(unary, image, iterations)])


def largest_rise(values: Tensor) -> float:
    """The largest step upwards, in units of the values."""
    return float((values.diff() / values.abs().amax()).max())


@pytest.mark.parametrize("damping", [0.25, 0.9])
def test_a_share_of_the_old_logits_stays(damping: float) -> None:
    unary, image = problem(1)
    crf = CRFRNN(LABELS, KERNELS, 7, kernel_weights="matrix", damping=damping, filter="exact").double()
    crf.cell.kernel_weights.data += 0.3 * torch.randn(2, LABELS, LABELS)
    pair = dense_pair_term(crf, image[0])
    u = rows(unary)[0]
    logits = u
    for _ in range(7):
        beliefs = logits.softmax(1)
        proposed = u - (pair @ beliefs.flatten()).view_as(u)
        logits = damping * logits + (1 - damping) * proposed
    torch.testing.assert_close(rows(crf(unary, image))[0], logits, rtol=0, atol=1e-10)


def test_it_settles_where_mean_field_does() -> None:
    unary, image = problem()
    wanted = CRFRNN(LABELS, KERNELS, 120).double()(unary, image)
    torch.testing.assert_close(CRFRNN(LABELS, KERNELS, 120, damping=0.5).double()(unary, image), wanted)


REPULSIVE = torch.eye(4)
SKEW = torch.tensor([[3.0, 2.0, -1.0, 0.5], [0.3, 1.6, 1.0, 1.0], [1.5, 0.0, 2.7, -1.0], [1.0, 2.0, 0.2, 2.0]])
HARD = {
    "repulsive, unnormalized": {"kernels": attracting(), "normalization": "none", "compatibility": REPULSIVE},
    "repulsive, unnormalized, grid": {
        "kernels": [grid_kernel(8, 40.0, 3.0)],
        "normalization": "none",
        "compatibility": REPULSIVE,
    },
    "any matrix, unnormalized": {"kernels": attracting(), "normalization": "none", "compatibility": SKEW},
    "any matrix, divided on one side": {"kernels": attracting(8.0), "compatibility": SKEW},
    "without the message to itself": {"kernels": attracting(8.0), "exclude_self": True, "compatibility": SKEW},
}


@pytest.mark.parametrize("name", HARD)
def test_the_free_energy_never_rises_where_the_parallel_update_raises_it(name: str) -> None:
    image = photograph()
    unary = scores(image)
    parallel = energies(CRFRNN(4, **HARD[name]).double(), unary, image, 12)
    damped = energies(CRFRNN(4, **HARD[name], damping="auto").double(), unary, image, 40)
    assert largest_rise(parallel) > 1e-2
    assert largest_rise(damped) <= 1e-13
    assert damped[-1] < damped[0] - 1e-3 * damped[0].abs()


def test_the_parallel_update_goes_back_and_forth_and_the_damped_one_settles() -> None:
    """Two labels that repel each other, all pixels alike: the parallel update turns all of them over and over."""
    image = torch.full((1, 3, 6, 7), 100.0, dtype=torch.float64)
    unary = 0.1 * torch.randn(1, 2, 6, 7, dtype=torch.float64)
    settings = {"kernels": attracting(0.5), "normalization": "none", "compatibility": torch.eye(2)}
    *_, last = CRFRNN(2, **settings).double().iterate(unary, image, 101)
    assert float(last.residual().detach()) > 0.9
    crf = CRFRNN(2, **settings, damping="auto").double()
    assert float(residual(crf, crf(unary, image, 100).detach(), unary, image)) < 0.02


@pytest.mark.parametrize("normalization", ["symmetric", "after", "before", "none"])
def test_on_a_photograph_with_attracting_labels(normalization: str) -> None:
    image = photograph()
    unary = scores(image)
    crf = CRFRNN(4, attracting(3.0), normalization=normalization, damping="auto").double()
    values = energies(crf, unary, image, 15)
    assert largest_rise(values) <= 1e-13
    with native.disabled():
        torch.testing.assert_close(energies(crf, unary, image, 15), values)


def test_the_step_is_whole_where_the_pair_term_is_weak() -> None:
    unary, image = problem()
    settings = {"kernels": [grid_kernel(4, 60.0, 0.1)], "normalization": "none"}
    wanted = CRFRNN(LABELS, **settings).double()(unary, image)
    torch.testing.assert_close(CRFRNN(LABELS, **settings, damping="auto").double()(unary, image), wanted)


def test_messages_of_auto_pass_through_the_symmetric_part() -> None:
    unary, image = problem(1)
    crf = CRFRNN(LABELS, KERNELS, 150, damping="auto", filter="exact").double()
    pair = dense_pair_term(crf, image[0])
    u, logits = rows(unary)[0], rows(crf(unary, image))[0]
    symmetric = (pair + pair.T) / 2
    torch.testing.assert_close(
        logits, u - (symmetric @ logits.softmax(1).flatten()).view_as(u), rtol=0, atol=1e-6
    )  # fmt: skip


def test_the_largest_exchange_over_many_pairs_of_changes() -> None:
    """Changes that sum to 0 and whose absolute values sum to 1: none exchange more, and single labels reach it."""
    matrix = torch.randn(4, 4, dtype=torch.float64)
    change = torch.randn(5000, 2, 4, dtype=torch.float64)
    change -= change.mean(-1, keepdim=True)
    change /= change.abs().sum(-1, keepdim=True)
    found = torch.einsum("sa,ab,sb->s", change[:, 0], matrix, change[:, 1])
    corner = torch.eye(4, dtype=torch.float64)
    ends = ((corner[:, None] - corner) / 2).reshape(-1, 4)
    bound = float(largest_exchange(matrix))
    assert float(found.max()) <= bound
    assert float((ends @ matrix @ ends.T).max()) == pytest.approx(bound)
