"""Gradients at a fixed point against those through very many iterations, and a linear system solved with dense matrices."""

import copy
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, feature_kernel, smoothness_kernel
from crfrnn.solvers.bicgstab import solve
from crfrnn.solvers.implicit import solved
from tests.solvers.problems import (
    ALPHA,
    BETA,
    GAMMA,
    KERNELS,
    LABELS,
    attracting,
    dense_pair_term,
    photograph,
    problem,
    rows,
    scores,
)

# Weak ones, so that fifty iterations are very many.
FEATURES = [smoothness_kernel(GAMMA, 0.3), appearance_kernel(ALPHA, BETA, 0.5), feature_kernel("depth", 0.5, 0.2)]
LAYERS: dict[str, dict[str, Any]] = {
    "lattice": {},
    "exact": {"filter": "exact"},
    "symmetric": {"normalization": "symmetric", "kernel_weights": "scalar"},
    "without the message to itself": {"exclude_self": True, "kernel_weights": "diagonal"},
    "damped": {"damping": 0.4},
    "damped as far as needed": {"damping": "auto"},
    "few labels": {"min_belief": 0.2},
}


def layer(**settings: Any) -> CRFRNN:
    """A layer that has learned something, so that nothing about it is symmetric."""
    built = CRFRNN(
        LABELS, **{"kernels": FEATURES, "kernel_weights": "matrix", "learn_bandwidths": True, **settings}
    ).double()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return built


def outcome(crf: CRFRNN, unary: Tensor, image: Tensor, direction: Tensor, **call: Any) -> dict[str, Tensor]:
    """The logits, and the gradients of <beliefs, direction> to everything that has one."""
    depth = image[:, :1].detach() / 100
    given = {"unary": unary, "image": image, "depth": depth}
    given = {name: tensor.detach().clone().requires_grad_() for name, tensor in given.items()}
    logits = crf(given["unary"], given["image"], features={"depth": given["depth"]}, **call)
    sources = given | dict(crf.named_parameters())
    gradients = torch.autograd.grad((logits.softmax(1) * direction).sum(), list(sources.values()))
    return {"logits": logits.detach(), **dict(zip(sources, gradients, strict=True))}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_very_many_iterations(name: str) -> None:
    unary, image = problem()
    unary[0, 2] -= 10  # a label that is nowhere in the first image
    direction = torch.randn_like(unary)
    crf = layer(**LAYERS[name])
    implicit = copy.deepcopy(crf)
    implicit.gradient = "implicit"
    wanted = outcome(crf, unary, image, direction, num_iterations=50)
    found = outcome(implicit, unary, image, direction, num_iterations=50, tolerance=1e-9)
    for key, reference in wanted.items():
        assert reference.abs().max() > 0, key
        torch.testing.assert_close(
            found[key], reference, rtol=1e-6, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}"
        )


def test_the_gradient_to_the_unary_solves_a_linear_system() -> None:
    unary, image = problem(1)
    crf = CRFRNN(LABELS, KERNELS, 300, filter="exact", gradient="implicit").double()
    direction = torch.randn_like(unary)
    logits = crf(unary.requires_grad_(), image, tolerance=1e-12)
    (found,) = torch.autograd.grad((logits * direction).sum(), unary)
    pair, q = dense_pair_term(crf, image[0]), rows(logits)[0].softmax(1).detach()
    softmax = torch.block_diag(*(torch.diag(row) - torch.outer(row, row) for row in q))
    system = torch.eye(len(pair), dtype=torch.float64) + pair @ softmax
    wanted = torch.linalg.solve(system.T, rows(direction)[0].flatten())
    torch.testing.assert_close(rows(found)[0].flatten(), wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("weights", [(1e-30, 1e-30), (1e25, 1e25), (1.0, 1e25)])
def test_gradients_of_any_size_are_found(weights: tuple[float, float]) -> None:
    """Image by image: what the loss weighs one of them by has no influence on the other."""
    unary, image = (given.float().requires_grad_() for given in problem())
    crf = CRFRNN(LABELS, FEATURES[:2], 300, gradient="implicit")
    logits, direction = crf(unary, image), torch.randn_like(unary)
    scale = torch.tensor(weights)[:, None, None, None]
    (plain,) = torch.autograd.grad(logits, unary, direction, retain_graph=True)
    (scaled,) = torch.autograd.grad(logits, unary, direction * scale)
    torch.testing.assert_close(scaled / scale, plain, rtol=1e-4, atol=1e-4)


def test_a_gradient_that_is_not_finite_arrives_as_such() -> None:
    """As through the iterations, where the caller looks for it (torch.amp.GradScaler)."""
    unary, image = problem()
    crf = CRFRNN(LABELS, FEATURES[:2], 300, gradient="implicit").double()
    (found,) = torch.autograd.grad(crf(unary.requires_grad_(), image).sum() * torch.nan, unary)
    assert not found.isfinite().any()


@pytest.mark.parametrize("size", [0.5, 3.0])
def test_linear_systems(size: float) -> None:
    """Against dense matrices, 1 + M for M below and above 1: only the first could be found by summing powers of M."""
    matrix = torch.randn(40, 40, dtype=torch.float64)
    matrix = torch.eye(40, dtype=torch.float64) + size * matrix / torch.linalg.matrix_norm(matrix, 2)
    wanted = torch.randn(40, dtype=torch.float64)
    found, missing = solve(lambda x: matrix @ x, wanted, 1e-10)
    assert missing <= 1e-10
    torch.testing.assert_close(found, torch.linalg.solve(matrix, wanted), rtol=0, atol=1e-7)


def test_a_linear_system_without_solution_is_left_unsolved() -> None:
    matrix = torch.diag(torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64))
    _, missing = solve(lambda x: matrix @ x, torch.ones(3, dtype=torch.float64), 1e-10)
    assert missing >= 1


def test_it_is_found_where_the_parallel_update_goes_back_and_forth() -> None:
    """Against differences of two solutions, since no number of parallel iterations has a limit here."""
    unary, image = 0.1 * problem(1)[0], torch.full((1, 3, 5, 6), 100.0, dtype=torch.float64)
    settings = {"kernels": attracting(0.5), "normalization": "none", "compatibility": torch.eye(LABELS)}
    *_, state = CRFRNN(LABELS, **settings).double().iterate(unary, image, 200)
    assert float(state.residual().detach()) > 0.5
    crf = CRFRNN(LABELS, **settings, damping="auto", gradient="implicit", num_iterations=5000).double()
    direction, change = torch.randn_like(unary), torch.randn_like(unary)
    loss = (crf(unary.requires_grad_(), image, tolerance=1e-11) * direction).sum()
    (gradient,) = torch.autograd.grad(loss, unary)
    ends = [crf((unary + step * change).detach(), image, tolerance=1e-11) for step in (1e-5, -1e-5)]
    difference = ((ends[0] - ends[1]) * direction).sum().detach() / 2e-5
    torch.testing.assert_close((gradient * change).sum(), difference, rtol=1e-5, atol=0)


def test_it_refuses_where_mean_field_has_not_converged_and_says_by_how_much() -> None:
    unary, image = problem()
    crf = CRFRNN(LABELS, KERNELS, 3, gradient="implicit").double()
    with pytest.raises(ValueError, match="has not converged") as error:
        crf(unary, image)
    *_, before, last = CRFRNN(LABELS, KERNELS, 3).double().iterate(unary, image)
    residual = float((last.beliefs - before.beliefs).abs().max().detach())
    assert float(re.search(r"changed a belief by (\S+),", str(error.value))[1]) == pytest.approx(residual, rel=0.05)
    crf(unary, image, tolerance=2 * residual)


def test_where_no_gradient_is_wanted_all_iterations_run() -> None:
    unary, image = problem()
    crf, plain = CRFRNN(LABELS, KERNELS, 3, gradient="implicit").double(), CRFRNN(LABELS, KERNELS, 3).double()
    with torch.no_grad():
        assert torch.equal(crf(unary, image), plain(unary, image))
    crf.requires_grad_(False)
    torch.testing.assert_close(crf(unary, image), plain(unary, image))


def test_memory_knows_nothing_of_the_iterations() -> None:
    """What autograd keeps for the backward pass is the same after 20 and after 200 iterations; unrolled it grows."""
    unary, image = problem()

    def kept(gradient: str, iterations: int) -> int:
        bytes_kept = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal bytes_kept
            bytes_kept += tensor.numel() * tensor.element_size()
            return tensor

        crf = CRFRNN(LABELS, KERNELS, iterations, gradient=gradient, filter="exact").double()
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            crf(unary, image, tolerance=1e-3 if gradient == "implicit" else None)
        return bytes_kept

    assert kept("implicit", 20) == kept("implicit", 200)
    assert kept("unrolled", 200) > 5 * kept("unrolled", 20)


def test_the_fast_code_finds_the_fixed_point(runs: list[int]) -> None:
    image = photograph(30, 26)
    unary = scores(image, LABELS).float().requires_grad_()
    crf = CRFRNN(LABELS, KERNELS, 100, gradient="implicit", message_tolerance=0.01)
    crf(unary, image.float()).sum().backward()
    assert runs == [1]
    assert unary.grad.isfinite().all()


def test_there_are_no_second_derivatives() -> None:
    unary, image = problem()
    crf = CRFRNN(LABELS, KERNELS, 100, gradient="implicit").double()
    loss = crf(unary.requires_grad_(), image).square().sum()
    (gradient,) = torch.autograd.grad(loss, unary, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize(("missing", "found"), [(2e-5, True), (1e-2, False)])
def test_what_rounding_leaves_out_is_no_reason_to_refuse(
    missing: float, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crfrnn.solvers.implicit.solve", lambda system, gradient, limit: (gradient, missing))
    gradient = torch.ones(1, 4, LABELS)
    beliefs = gradient / LABELS
    if found:
        assert torch.equal(solved(gradient, beliefs, lambda values: values), gradient)
    else:
        with pytest.raises(RuntimeError, match=r"not found: 0[.]01 of it is missing"):
            solved(gradient, beliefs, lambda values: values)
