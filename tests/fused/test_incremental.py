"""Mean field that computes again only what has changed: its definition pixel by pixel, and what it leaves equal."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, native, residual
from crfrnn.fused.incremental import belief_limit, labels_that_count
from crfrnn.fused.mean_field import label_matrices
from tests.fused_problems import KERNELS, TOLERANCES, assert_close, in_torch, layer, problem
from tests.lattice.yardsticks import photo_features
from tests.threads import poisoned_memory, threads


@pytest.fixture(autouse=True)
def _poison() -> Iterator[None]:
    with poisoned_memory():
        yield


def incremental(crf: CRFRNN, message_tolerance: float) -> CRFRNN:
    crf.message_tolerance = message_tolerance
    return crf.requires_grad_(False)


def pixel_by_pixel(
    crf: CRFRNN, unary: Tensor, image: Tensor, iterations: int, limit: float, stop: float = 0.0
) -> tuple[Tensor, list[int]]:
    """The definition for one image, with dense matrices: logits, and how many pixels each iteration updated."""
    with native.disabled():
        kernels = crf.build_kernels({"image": image}, unary)
    stack, count = kernels.stack, unary[0, 0].numel()
    blur = stack.blur(torch.eye(stack.num_vertices, dtype=unary.dtype))
    splat = stack.splat(torch.eye(count, dtype=unary.dtype), kernels.splat_weights)
    cut = stack.slice(torch.eye(stack.num_vertices, dtype=unary.dtype), kernels.slice_weights)
    matrices = label_matrices(crf.cell.compatibility, crf.cell.kernel_weights)

    def penalty(beliefs: Tensor) -> Tensor:
        vertices = blur @ splat @ beliefs
        for segment, alpha, matrix in zip(stack.segments, kernels.alphas, matrices, strict=True):
            vertices[segment] = alpha * vertices[segment] @ matrix.T
        return vertices

    logits = unary[0].flatten(1).T
    sent = logits.softmax(1)
    waits_for, heard, updates = [-1.0] * count, [0.0] * count, [count]
    now = penalty(sent)
    for _ in range(1, iterations):
        after, largest_change, updated = sent.clone(), 0.0, 0
        for i in range(count):
            if heard[i] <= waits_for[i]:
                continue
            updated += 1
            beliefs = (logits[i] - cut[i] @ now).softmax(0)
            difference, top = float((beliefs - sent[i]).abs().max()), float(beliefs.max())
            left = limit - difference
            if difference > limit:
                after[i], left, largest_change = beliefs, limit, max(largest_change, difference)
            waits_for[i], heard[i] = left / (2 * top * (1 - top) + left), 0.0
        updates.append(updated)
        if largest_change <= stop:
            break
        moved = penalty(after - sent)
        sent, now = after, now + moved
        for i in range(count):
            heard[i] += float(cut[i] @ moved.abs().amax(1))
    return (logits - cut @ now).T.view_as(unary), updates


@pytest.mark.parametrize("compatibility", ["potts", "free"])
@pytest.mark.parametrize("message_tolerance", [0.01, 0.1, 0.5])
def test_follows_the_definition(compatibility: str, message_tolerance: float) -> None:
    crf = incremental(layer(4, compatibility, "diagonal", "symmetric"), message_tolerance)
    unary, image = problem(4, height=7, width=11)
    limit = belief_limit(label_matrices(crf.cell.compatibility, crf.cell.kernel_weights), message_tolerance)
    for iterations in (1, 2, 3, 9):
        wanted, updates = pixel_by_pixel(crf, unary, image, iterations, limit)
        assert_close(in_torch(crf, unary, image, num_iterations=iterations), wanted)
        for count in (1, 3):
            with threads(count):
                assert_close(crf(unary, image, iterations), wanted)
    assert sum(updates) < 9 * 77  # so that something was left out


def test_limit_of_beliefs_by_hand() -> None:
    """Potts with weights 3 and 5: a belief off by d moves a penalty by 8 d. Rows (1, -2), (0, 4): by 4 d."""
    potts = 1 - torch.eye(3)
    assert belief_limit(torch.stack([3 * potts, 5 * potts]), 0.04) == pytest.approx(0.005)
    assert belief_limit(torch.tensor([[[1.0, -2.0], [0.0, 4.0]]]), 0.04) == pytest.approx(0.01)
    assert belief_limit(torch.zeros(1, 2, 2), 0.04) == 1


def test_labels_that_count_by_hand() -> None:
    """Beliefs of at most 0.01 and 0.02 sum to 0.03. Label 2 costs less than label 1 beside label 0, so that it may rise."""
    peaks = torch.tensor([[0.9, 0.01, 0.02, 0.8], [0.01, 0.9, 0.9, 0.03]])
    potts = (1 - torch.eye(4))[None]
    assert labels_that_count(peaks, potts, 0.025).tolist() == [[True, False, True, True], [False, True, True, True]]
    assert labels_that_count(peaks, potts, 0.035).tolist() == [[True, False, False, True], [False, True, True, True]]
    assert labels_that_count(peaks, potts, 1e9).sum(1).tolist() == [1, 1]
    potts[0, 2, 0] = 0.5
    assert labels_that_count(peaks, potts, 0.035).tolist() == [[True, False, True, True], [False, True, True, True]]


@pytest.mark.parametrize("compatibility", ["potts", "free"])
def test_leaves_out_labels_that_hardly_anybody_believes_in(compatibility: str) -> None:
    unary, image = problem(6, batch=2, height=7, width=9)
    unary[0, 1:3] -= 11
    unary[1, 3] -= 11
    crf = incremental(layer(6, compatibility), 0.04)
    got = crf(unary, image, 7)
    assert_close(got, in_torch(crf, unary, image, num_iterations=7))
    crf.min_belief = 1e-3
    left_out = torch.equal(got, crf(unary, image, 7))
    assert left_out == (compatibility == "potts")


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("labels", [2, 3, 8, 9, 21, 40])
def test_compiled_code_equals_torch(labels: int, dtype: torch.dtype) -> None:
    """In float32, rounding may decide whether a pixel is updated."""
    crf = incremental(layer(labels, "free", "diagonal"), 0.05).to(dtype)
    unary, image = problem(labels, batch=3, height=8, width=15, dtype=dtype)
    wanted = in_torch(crf, unary, image, num_iterations=6)
    for count in (1, 2, 7):
        with threads(count):
            got = crf(unary, image, 6)
        if dtype == torch.float64:
            assert_close(got, wanted)
        else:
            torch.testing.assert_close(got, wanted, rtol=0, atol=0.05)


def photo() -> tuple[Tensor, Tensor]:
    """Scores of 21 labels for a drawn photo: smooth, and sure of themselves in most places."""
    image = 255 * photo_features(60, 90, 1, 1 / 255)[..., 2:].view(1, 60, 90, 3).permute(0, 3, 1, 2)
    coarse = 6 * torch.randn(1, 21, 6, 9)
    unary = torch.nn.functional.interpolate(coarse, (60, 90), mode="bilinear") + 0.3 * torch.randn(1, 21, 60, 90)
    return unary, image.float().clamp(0, 255)


def test_a_photo_in_float32() -> None:
    unary, image = photo()
    crf = CRFRNN(21, num_iterations=10, normalization="symmetric").requires_grad_(False)
    full = crf(unary, image).softmax(1)
    for message_tolerance, bound in ((1e-4, 2e-4), (1e-2, 1e-2), (1.0, 0.5)):
        refined = incremental(crf, message_tolerance)(unary, image).softmax(1)
        error = (refined - full).abs().max()
        assert error < bound
        assert error > 0
    assert (refined.argmax(1) == full.argmax(1)).float().mean() > 0.95


def test_nothing_waits_by_default_and_at_the_least_tolerance() -> None:
    unary, image = problem(5, batch=2, height=9, width=12)
    crf = layer(5).requires_grad_(False)
    full = crf(unary, image)
    assert crf.message_tolerance == 0
    assert_close(incremental(crf, 1e-14)(unary, image), full)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_batch_equals_its_images(compiled: bool) -> None:
    unary, image = problem(6, batch=3, height=9, width=12)
    unary[0] *= 8
    unary[1, 2] -= 30
    crf = incremental(layer(6), 0.1)
    crf.min_belief = 0.05
    run = crf if compiled else lambda u, i: in_torch(crf, u, i)
    singles = torch.cat([run(unary[b : b + 1], image[b : b + 1]) for b in range(3)])
    assert_close(run(unary, image), singles)


@pytest.mark.parametrize("stop", [0.0, 1e-3, 0.02, 0.2])
def test_stops_where_no_belief_that_was_passed_on_changed_by_more(stop: float) -> None:
    unary, image = problem(4, height=6, width=9)
    crf = incremental(layer(4), 0.02)
    limit = belief_limit(label_matrices(crf.cell.compatibility, crf.cell.kernel_weights), 0.02)
    wanted, _ = pixel_by_pixel(crf, unary, image, 60, limit, stop)
    assert_close(crf(unary, image, 60, tolerance=stop), wanted)
    assert_close(in_torch(crf, unary, image, num_iterations=60, tolerance=stop), wanted)


@pytest.mark.parametrize("stop", [None, 0.01])
def test_leaves_out_labels_as_the_full_iteration_does(stop: float | None) -> None:
    unary, image = problem(9, batch=2, height=7, width=8)
    unary[:, :5] -= 12
    crf = incremental(layer(9, "free", "matrix"), 1e-12)
    crf.min_belief = 1e-3
    got = crf(unary, image, 7, tolerance=stop)
    assert_close(got, in_torch(crf, unary, image, num_iterations=7, tolerance=stop))
    crf.message_tolerance = 0
    assert_close(got, crf(unary, image, 7, tolerance=stop))
    crf.min_belief = 0
    assert (got - crf(unary, image, 7)).abs().max() > 1e-6


def test_every_pixel_is_updated_where_a_gradient_is_wanted() -> None:
    unary, image = problem(4)
    crf, full = layer(4), layer(4)
    full.load_state_dict(crf.state_dict())
    crf.message_tolerance = 0.5
    assert torch.equal(crf(unary, image), full(unary, image))
    assert not torch.equal(crf.requires_grad_(False)(unary, image), full(unary, image))


@pytest.mark.parametrize("option", ["exact", "exclude_self"])
def test_every_pixel_is_updated_without_lattices(option: str) -> None:
    unary, image = problem(3)
    settings = {"filter": "exact"} if option == "exact" else {"exclude_self": True}
    layers = [CRFRNN(3, KERNELS, message_tolerance=each, **settings).double() for each in (0.5, 0.0)]
    first, second = (each.requires_grad_(False)(unary, image) for each in layers)
    assert torch.equal(first, second)


def test_residual_is_what_one_more_iteration_changes() -> None:
    unary, image = problem(4, batch=2)
    crf = incremental(layer(4), 0.5)
    states = list(crf.iterate(unary, image, 4))
    torch.testing.assert_close(residual(crf, states[3].logits, unary, image), states[4].residual())
    logits = crf(unary, image, 4)
    beliefs = logits.softmax(1)
    for b in range(2):
        kernels = crf.build_kernels({"image": image[b : b + 1]}, unary[b : b + 1])
        rows = beliefs[b].flatten(1).T[None]
        after = (unary[b].flatten(1).T - crf.cell.penalty(rows, kernels)[0]).softmax(1)
        wanted = (after - rows[0]).abs().max()
        torch.testing.assert_close(residual(crf, logits, unary, image)[b], wanted)


def test_residual_does_not_count_labels_left_out() -> None:
    unary, image = problem(4)
    unary[:, 1] -= 9
    crf = CRFRNN(4, KERNELS, min_belief=1e-2).double().requires_grad_(False)
    states = list(crf.iterate(unary, image, 3))
    torch.testing.assert_close(residual(crf, states[2].logits, unary, image), states[3].residual())


def test_residual_refuses_other_logits() -> None:
    unary, image = problem(3)
    crf = CRFRNN(3, KERNELS).double()
    with pytest.raises(ValueError, match=r"logits: \[1, 3, 5, 5\]; wanted what crf\(unary, ...\) returned"):
        residual(crf, unary[..., :5], unary, image)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "0.1", None])
def test_tolerances_that_make_no_sense(value: float) -> None:
    with pytest.raises(ValueError, match=r"message_tolerance is .*wanted a change of logits of at least 0"):
        CRFRNN(3, message_tolerance=value)


def test_settings_keep_the_tolerance() -> None:
    assert CRFRNN.from_settings(CRFRNN(3, message_tolerance=0.25).settings()).message_tolerance == 0.25
