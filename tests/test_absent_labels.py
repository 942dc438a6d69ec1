"""Leaving out labels that an image does not hold."""

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN
from crfrnn.state import believed_labels, hidden_labels
from tests.dense_meanfield import dense_features, dense_kernel, dense_meanfield, dense_normalized
from tests.fused_problems import ALPHA, BETA, GAMMA, KERNELS, TOLERANCES, assert_close, in_torch, problem
from tests.lattice.yardsticks import dense_lattice
from tests.threads import threads

pytestmark = pytest.mark.usefixtures("poison")

LABELS, LIMIT = 9, 0.01


def layer(min_belief: float = LIMIT, filter: str = "lattice") -> CRFRNN:
    """Free penalties and matrices of weights: every label left out would be missed."""
    torch.manual_seed(1)
    mu = torch.randn(LABELS, LABELS)
    crf = CRFRNN(
        LABELS, KERNELS, kernel_weights="matrix", compatibility=mu, min_belief=min_belief, filter=filter
    ).double()
    with torch.no_grad():
        crf.cell.kernel_weights += 0.2 * torch.randn_like(crf.cell.kernel_weights)
    return crf.requires_grad_(False)


def sparse_problem(absent: list[list[int]], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """One image for each list of labels that it lacks: their beliefs are about 2e-4, of all others above 0.1 somewhere."""
    unary, image = problem(LABELS, batch=len(absent), dtype=dtype)
    unary.clamp_(-1, 1)
    for labels, each in zip(absent, unary, strict=True):
        each[labels] -= 8
        for place, label in enumerate(set(range(LABELS)) - set(labels)):
            each[label, 0, 0 if place < 4 else 1] += 2
    return unary, image


def without(crf: CRFRNN, absent: list[int], unary: Tensor, image: Tensor) -> Tensor:
    """The definition, with dense matrices: labels that are absent have belief 0 throughout, and a logit in the end."""
    matrix = dense_lattice if crf.filter == "lattice" else dense_kernel
    features = (dense_features(image[0], GAMMA), dense_features(image[0], ALPHA, BETA))
    kernels = [dense_normalized(matrix(each), "after", False) for each in features]
    weights, mu = list(crf.cell.kernel_weights), crf.cell.compatibility
    logits = unary[0].flatten(1).T
    hidden = logits.clone()
    hidden[:, absent] = -torch.inf
    beliefs = dense_meanfield(hidden, kernels, weights, mu, crf.num_iterations - 1).softmax(1)
    messages = sum(kernel @ beliefs @ weight.T for kernel, weight in zip(kernels, weights, strict=True))
    return (logits - messages @ mu.T).T.view_as(unary)


ABSENT = [[], [8], [0, 2, 3, 4], [0, 1, 2, 3, 4, 6, 7], [1, 2, 3, 4, 5, 6, 7, 8]]


def test_present_labels_of_a_table() -> None:
    """By hand: softmax(0, log 3) = 1/4, 3/4; two pixels in each of two images."""
    three = torch.tensor(3.0).log()
    logits = torch.tensor([[[0.0, 0.0], [three, three]], [[0.0, three], [three, 0.0]]]).view(2, 2, 1, 2)
    assert believed_labels(logits, 0.2).tolist() == [[True, True], [True, True]]
    assert believed_labels(logits, 0.5).tolist() == [[False, True], [True, True]]
    assert hidden_labels(logits, 0.5).tolist() == [[[-torch.inf, 0.0]], [[0.0, 0.0]]]
    assert hidden_labels(logits, 0) == 0.0


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("absent", ABSENT, ids=str)
def test_equals_a_layer_without_these_labels(absent: list[int], dtype: torch.dtype, runs: list[int]) -> None:
    """None left out, one, some, all but two, and all but one."""
    crf = layer()
    unary, image = sparse_problem([absent])
    assert (~believed_labels(unary, LIMIT)[0]).nonzero().flatten().tolist() == absent
    wanted = without(crf, absent, unary, image).to(dtype)
    crf.to(dtype)
    unary, image = unary.to(dtype), image.to(dtype)
    assert_close(in_torch(crf, unary, image), wanted)
    assert not runs
    for count in (1, 3):
        with threads(count):
            assert_close(crf(unary, image), wanted)
    assert len(runs) == 2


@pytest.mark.parametrize("iterations", [1, 2, 7])
def test_each_image_of_a_batch_has_labels_of_its_own(iterations: int, runs: list[int]) -> None:
    crf, (unary, image) = layer(), sparse_problem(ABSENT)
    singles = torch.cat([crf(unary[i : i + 1], image[i : i + 1], iterations) for i in range(len(ABSENT))])
    assert_close(crf(unary, image, iterations), singles)
    assert_close(crf(unary.contiguous(memory_format=torch.channels_last), image, iterations), singles)
    assert_close(in_torch(crf, unary, image, num_iterations=iterations), singles)
    assert len(runs) == len(ABSENT) + 2


def test_left_out_labels_change_something_and_have_logits() -> None:
    unary, image = sparse_problem([ABSENT[2]])
    unary[:, ABSENT[2]] += 3.5  # just below the limit, so that leaving them out is seen
    assert not believed_labels(unary, LIMIT)[0, ABSENT[2]].any()
    out, full = layer()(unary, image), layer(0.0)(unary, image)
    assert out.isfinite().all()
    assert 1e-3 < (out - full).abs().max() < 1


def test_a_tiny_limit_leaves_out_nothing_that_counts(runs: list[int]) -> None:
    unary, image = sparse_problem(ABSENT)
    unary[:, 7] -= 40
    assert not believed_labels(unary, 1e-12)[:, 7].any()
    torch.testing.assert_close(layer(1e-12)(unary, image), layer(0.0)(unary, image), rtol=0, atol=1e-10)
    assert len(runs) == 2


def test_the_exact_filter_leaves_out_the_same_labels() -> None:
    crf, (unary, image) = layer(filter="exact"), sparse_problem(ABSENT)
    for single, picture, absent in zip(unary, image, ABSENT, strict=True):
        wanted = without(crf, absent, single[None], picture[None])
        assert_close(crf(single[None], picture[None]), wanted)


@pytest.mark.parametrize("training", ["unary", "parameters"])
def test_with_gradients_the_logits_are_the_same(training: str, runs: list[int]) -> None:
    crf, (unary, image) = layer(), sparse_problem(ABSENT)
    wanted = crf(unary, image)
    assert len(runs) == 1
    crf.requires_grad_(training == "parameters")
    out = crf(unary.requires_grad_(training == "unary"), image)
    assert len(runs) == 1
    assert_close(out.detach(), wanted)
    out.square().sum().backward()
    for each in [unary] if training == "unary" else [crf.cell.kernel_weights, crf.cell.compatibility]:
        assert each.grad.isfinite().all()
        assert each.grad.abs().max() > 0


def test_finite_differences() -> None:
    crf, (unary, image) = layer(), sparse_problem([ABSENT[2]])
    unary, image = unary[..., :2, :2].clone(), image[..., :2, :2]
    assert torch.autograd.gradcheck(lambda u: crf(u, image, 2), unary.requires_grad_(), fast_mode=True)


def test_iterate_starts_without_them() -> None:
    crf, (unary, image) = layer(), sparse_problem([ABSENT[2]])
    states = list(crf.iterate(unary, image))
    for state in states:
        assert torch.all(state.beliefs[:, ABSENT[2]] == 0)
        torch.testing.assert_close(state.beliefs.sum(1), torch.ones(1, 5, 6).double())
    assert torch.equal(states[0].logits, unary)
    assert_close(states[-1].logits, crf(unary, image))


@pytest.mark.parametrize("value", [-0.1, 1 / LABELS, 0.5, 1.0, float("nan"), float("inf")])
def test_limits_that_make_no_sense(value: float) -> None:
    with pytest.raises(ValueError, match=r"min_belief is .*wanted .*at least 0 and below 1 / num_labels"):
        CRFRNN(LABELS, min_belief=value)


def test_settings_keep_the_limit() -> None:
    assert CRFRNN.from_settings(layer().settings()).min_belief == LIMIT
