"""`learn_filter`: the blur of the lattices as parameters of the layer, against lattices written out densely."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, feature_kernel, grid_kernel, native, smoothness_kernel
from tests.dense_meanfield import dense_features, dense_meanfield, dense_normalized
from tests.lattice.yardsticks import dense_lattice

KERNELS = [smoothness_kernel(1.5, 1.0), appearance_kernel(4.0, 60.0, 2.0)]
WEIGHTS = [torch.eye(3, dtype=torch.float64), 2 * torch.eye(3, dtype=torch.float64)]
MU = 1 - torch.eye(3, dtype=torch.float64)


def problem(*size: int) -> tuple[Tensor, Tensor]:
    return 2 * torch.randn(1, 3, *size, dtype=torch.float64), 255 * torch.rand(1, 3, *size, dtype=torch.float64)


def layer(**settings: Any) -> CRFRNN:
    """A layer in float64 whose side weights are no longer those it began with."""
    crf = CRFRNN(3, **{"kernels": KERNELS, "num_iterations": 2, "learn_filter": True, **settings}).double()
    with torch.no_grad():
        for scale in crf.log_side_scales:
            scale += 0.5 * torch.randn_like(scale)
    return crf


def densely(crf: CRFRNN, unary: Tensor, image: Tensor, scales: Sequence[Tensor], exclude_self: bool = False) -> Tensor:
    """Logits [N, L] of the first image, with side weights exp(scales) / 2."""
    features = [dense_features(image[0], 1.5), dense_features(image[0], 4.0, 60.0)]
    matrices = [
        dense_normalized(dense_lattice(f, side_weights=scale.exp() / 2), crf.normalization, exclude_self)
        for f, scale in zip(features, scales, strict=True)
    ]
    return dense_meanfield(unary[0].flatten(1).T, matrices, WEIGHTS, MU, 2)


def native_or_not(compiled: bool) -> AbstractContextManager[None]:
    return nullcontext() if compiled else native.disabled()


def rows(logits: Tensor) -> Tensor:
    return logits[0].flatten(1).T


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"normalization": "symmetric", "exclude_self": True},
        {"normalization": "none"},
        {"normalization": "before", "min_belief": 1e-30},
        {"message_tolerance": 1e-12},
    ],
)
def test_logits_are_those_of_dense_mean_field(settings: dict[str, Any], compiled: bool) -> None:
    unary, image = problem(5, 7)
    crf = layer(**settings)
    wanted = densely(crf, unary, image, list(crf.log_side_scales), crf.exclude_self)
    with torch.no_grad(), native_or_not(compiled):
        torch.testing.assert_close(rows(crf(unary, image)), wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("normalization", ["after", "symmetric", "none"])
def test_gradients_to_the_side_weights_are_finite_differences_of_the_loss(normalization: str, compiled: bool) -> None:
    unary, image = problem(4, 6)
    crf = layer(normalization=normalization)
    labels = torch.randint(3, (1, 4, 6))

    def loss() -> Tensor:
        return torch.nn.functional.cross_entropy(crf(unary, image), labels)

    with native_or_not(compiled):
        slopes = torch.autograd.grad(loss(), list(crf.log_side_scales))
        with torch.no_grad():
            for scale, slope in zip(crf.log_side_scales, slopes, strict=True):
                for axis in range(len(scale)):
                    sides = []
                    for step in (1e-5, -2e-5):
                        scale[axis] += step
                        sides.append(loss())
                    scale[axis] += 1e-5
                    torch.testing.assert_close(slope[axis], (sides[0] - sides[1]) / 2e-5, rtol=1e-5, atol=1e-8)


def test_it_begins_as_the_gaussian_bit_for_bit() -> None:
    unary, image = (each.float() for each in problem(9, 11))
    with torch.no_grad():
        assert torch.equal(CRFRNN(3, learn_filter=True)(unary, image), CRFRNN(3)(unary, image))
    assert CRFRNN(3).side_weights is None
    assert [sides.tolist() for sides in CRFRNN(3, learn_filter=True).side_weights or []] == [[0.5] * 3, [0.5] * 6]
    assert not any("side" in name for name in CRFRNN(3).state_dict())


def test_a_learned_filter_that_is_frozen_runs_fused_with_the_same_gradients(runs: list[int]) -> None:
    unary, image = problem(5, 7)
    crf = layer()
    unary.requires_grad_()
    wanted = torch.autograd.grad(crf(unary, image).square().sum(), unary)
    assert not runs
    for scale in crf.log_side_scales:
        scale.requires_grad_(False)
    found = torch.autograd.grad(crf(unary, image).square().sum(), unary)
    assert runs
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_settings_build_it_again() -> None:
    unary, image = problem(5, 7)
    crf = layer()
    again = CRFRNN.from_settings(crf.settings()).double()
    again.load_state_dict(crf.state_dict())
    assert torch.equal(again(unary, image), crf(unary, image))
    assert "learn_filter=True" in repr(crf)
    assert "learn_filter" not in CRFRNN(3).settings()


def test_the_free_energy_never_rises_with_damping_auto() -> None:
    unary, image = problem(7, 9)
    crf = layer(damping="auto", normalization="none")
    with torch.no_grad():
        energies = torch.stack([state.free_energy() for state in crf.iterate(unary, image, num_iterations=12)])
    assert (energies.diff(dim=0) <= 1e-9).all()


def test_the_implicit_gradient_is_the_unrolled_one_of_many_iterations() -> None:
    unary, image = problem(5, 6)
    slopes = []
    for settings in ({"gradient": "implicit"}, {}):
        torch.manual_seed(1)
        crf = layer(normalization="symmetric", num_iterations=200, **settings)
        loss = crf(unary, image, tolerance=1e-10).square().sum()
        slopes.append(torch.autograd.grad(loss, list(crf.log_side_scales)))
    for implicit, unrolled in zip(*slopes, strict=True):
        torch.testing.assert_close(implicit, unrolled, rtol=1e-6, atol=1e-6)


def test_tuples_of_thetas_say_how_many_axes_a_lattice_has() -> None:
    kernels = [
        smoothness_kernel((1.5, 1.5, 1.5), 1.0),
        appearance_kernel((4.0, 4.0, 4.0), (60.0,), 1.0),
        feature_kernel("depth", (0.5, 0.5), 1.0),
        grid_kernel(6, 40.0, 0.1),
    ]
    crf = CRFRNN(3, kernels, 2, learn_filter=True)
    assert [len(sides) for sides in crf.side_weights or []] == [4, 5, 3, 0]
    unary, image, depth = torch.randn(1, 3, 2, 4, 5), 255 * torch.rand(1, 1, 2, 4, 5), torch.rand(1, 2, 2, 4, 5)
    crf(unary, image, features={"depth": depth}).square().sum().backward()
    assert all(scale.grad.ne(0).any() for scale in crf.log_side_scales if len(scale))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"filter": "exact"}, "no lattice to learn"),
        ({"kernels": [grid_kernel()]}, "no lattice to learn"),
        ({"kernels": [feature_kernel("depth", 0.5, 1.0)]}, "give its theta as a tuple"),
    ],
)
def test_what_has_no_axes_to_learn_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CRFRNN(3, learn_filter=True, **settings)


def test_an_image_with_another_number_of_channels_is_refused() -> None:
    unary, image = problem(5, 7)
    with pytest.raises(ValueError, match=r"expected 5 features .* and here are 3; give each theta .* as a tuple"):
        layer()(unary, image[:, :1])


def test_planted_side_weights_are_found_again() -> None:
    unary, image = torch.randn(4, 3, 8, 8, dtype=torch.float64), 255 * torch.rand(4, 3, 8, 8, dtype=torch.float64)
    planted = layer(normalization="symmetric")
    target = planted(unary, image).detach()
    crf = CRFRNN(3, KERNELS, 2, "symmetric", learn_filter=True).double()
    optimizer = torch.optim.LBFGS(
        crf.log_side_scales, max_iter=100, line_search_fn="strong_wolfe", tolerance_change=1e-14
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (crf(unary, image) - target).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    for found, wanted in zip(crf.side_weights or [], planted.side_weights or [], strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=0)
