"""The layer on signals, images and volumes beside the dense mean field."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, native, residual, smoothness_kernel
from tests.space.problems import LABELS, SIZES, SPACING, dense_logits, gaussian, problem

BACKENDS = {"compiled": nullcontext, "plain": native.disabled}
# One number for all axes and channels, or one for each.
GAMMA = {1: (1.5,), 2: (1.5, 2.0), 3: (1.5, 2.0, 1.0)}
ALPHA = {1: (4.0,), 2: (4.0, 3.0), 3: (4.0, 3.0, 5.0)}
BETA = (40.0, 70.0)


def kernels(axes: int, each: bool) -> list[Any]:
    if each:
        return [smoothness_kernel(GAMMA[axes], 0.8), appearance_kernel(ALPHA[axes], BETA, 1.3)]
    return [smoothness_kernel(1.5, 0.8), appearance_kernel(4.0, 40.0, 1.3)]


def expected(crf: CRFRNN, unary: Tensor, image: Tensor, each: bool, spacing: tuple[float, ...] | None) -> Tensor:
    axes, out = unary.ndim - 2, []
    gamma, alpha, beta = (GAMMA[axes], ALPHA[axes], BETA) if each else (1.5, 4.0, 40.0)
    for logits, picture in zip(unary, image, strict=True):
        dense = [
            gaussian(picture, crf.normalization, gamma, None, spacing, crf.exclude_self),
            gaussian(picture, crf.normalization, alpha, beta, spacing, crf.exclude_self),
        ]
        out.append(dense_logits(logits, dense, [0.8, 1.3], 3))
    return torch.stack(out)


@pytest.mark.parametrize("axes", SIZES)
@pytest.mark.parametrize("each", [False, True], ids=["one theta", "a theta for each"])
@pytest.mark.parametrize("scaled", [False, True], ids=["pixels", "spacing"])
@pytest.mark.parametrize(("normalization", "exclude_self"), [("after", False), ("symmetric", True)])
def test_exact_layer_equals_dense_mean_field(
    axes: int, each: bool, scaled: bool, normalization: Any, exclude_self: bool
) -> None:
    crf = CRFRNN(LABELS, kernels(axes, each), 3, normalization, exclude_self=exclude_self, filter="exact").double()
    unary, image = problem(SIZES[axes])
    spacing = SPACING[axes] if scaled else None
    wanted = expected(crf, unary, image, each, spacing)
    torch.testing.assert_close(crf(unary, image, spacing=spacing), wanted, rtol=0, atol=1e-6)
    for state in crf.iterate(unary, image, spacing=spacing):
        assert state.beliefs.shape == unary.shape
    torch.testing.assert_close(state.logits, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("axes", SIZES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_lattice_layer_is_the_dense_mean_field_of_its_own_kernels(axes: int, backend: str) -> None:
    """Both backends, and all iterations in one call beside one by one."""
    crf = CRFRNN(LABELS, kernels(axes, each=True), 3).double()
    unary, image = problem(SIZES[axes], batch=1)
    with BACKENDS[backend]():
        identity = torch.eye(unary[0, 0].numel(), dtype=torch.float64)[None]
        built = crf.build_kernels({"image": image}, unary, SPACING[axes])
        raw = [lattice.filter(identity)[0] for lattice in built.stack.lattices]
        dense = [matrix / matrix.sum(1, keepdim=True) for matrix in raw]
        wanted = dense_logits(unary[0], dense, [0.8, 1.3], 3)
        torch.testing.assert_close(crf(unary, image, spacing=SPACING[axes])[0], wanted, rtol=0, atol=1e-6)


def test_lattice_layer_is_near_the_exact_one_on_a_volume() -> None:
    """A ball in noise: the same labels nearly everywhere, and the noise is gone."""
    z, y, x = torch.meshgrid(*(torch.arange(n) - n / 2 for n in (10, 14, 14)), indexing="ij")
    truth = (4 * z**2 + y**2 + x**2 < 25).long()
    image = truth[None, None] * 150.0 + 50 + torch.randn(1, 1, 10, 14, 14)
    unary = 2 * torch.nn.functional.one_hot(truth, 2).movedim(3, 0)[None] + torch.randn(1, 2, 10, 14, 14)
    pair = [smoothness_kernel(2.0, 1.0), appearance_kernel(20.0, 20.0, 3.0)]
    exact, lattice = (CRFRNN(2, pair, filter=kind)(unary, image, spacing=(2, 1, 1)) for kind in ("exact", "lattice"))
    assert (unary.argmax(1)[0] != truth).float().mean() > 0.05
    assert (lattice.argmax(1) != exact.argmax(1)).float().mean() < 0.01
    assert (lattice.argmax(1)[0] != truth).float().mean() < 0.01


@pytest.mark.parametrize("axes", SIZES)
@pytest.mark.parametrize("options", [{"min_belief": 0.1}, {"message_tolerance": 1e-7}], ids=["rare", "waiting"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_options_that_save_time(axes: int, options: dict[str, float], backend: str) -> None:
    unary, image = problem(SIZES[axes])
    unary[0, 2] -= 20
    crf, layer = (CRFRNN(LABELS, kernels(axes, True), 4, **given).double() for given in ({}, options))
    with BACKENDS[backend](), torch.no_grad():
        wanted = crf(unary, image)
        torch.testing.assert_close(layer(unary, image), wanted, rtol=0, atol=1e-4)
        assert residual(layer, wanted, unary, image).shape == (2,)


@pytest.mark.parametrize("axes", SIZES)
def test_free_energy_is_that_of_the_formula(axes: int) -> None:
    crf = CRFRNN(LABELS, kernels(axes, False), 2, "symmetric", exclude_self=True, filter="exact").double()
    unary, image = problem(SIZES[axes], batch=1)
    *_, state = crf.iterate(unary, image)
    q = state.beliefs[0].flatten(1).T
    u = unary[0].flatten(1).T
    thetas = ((0.8, 1.5, None), (1.3, 4.0, 40.0))
    dense = sum(w * gaussian(image[0], "symmetric", a, b, exclude_self=True) for w, a, b in thetas)
    pairs = torch.einsum("il,ij,jk,lk->", q, dense, q, 1 - torch.eye(LABELS).double()) / 2
    wanted = (q * q.log()).sum() - (q * u).sum() + pairs
    torch.testing.assert_close(state.free_energy()[0], wanted, rtol=1e-8, atol=0)


@pytest.mark.parametrize("axes", [1, 3])
def test_gradients_agree_with_finite_differences(axes: int) -> None:
    crf = CRFRNN(LABELS, kernels(axes, True), 2, learn_bandwidths=True, filter="exact").double()
    unary, image = problem({1: (4,), 3: (2, 2, 2)}[axes], batch=1)
    names = [name for name, _ in crf.named_parameters()]

    def logits(unary: Tensor, image: Tensor, *parameters: Tensor) -> Tensor:
        state = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(crf, state, (unary, image), {"spacing": SPACING[axes]})

    given = (unary, image / 255 * 80, *(p.detach().clone() for p in crf.parameters()))
    assert torch.autograd.gradcheck(logits, [each.requires_grad_() for each in given], atol=1e-5)


@pytest.mark.parametrize("axes", SIZES)
def test_compiled_and_plain_gradients_agree(axes: int) -> None:
    crf = CRFRNN(LABELS, kernels(axes, True), 3).double()
    unary, image = problem(SIZES[axes])
    direction = torch.randn_like(unary)
    found = []
    for backend in BACKENDS:
        with BACKENDS[backend]():
            given = unary.clone().requires_grad_()
            (crf(given, image, spacing=SPACING[axes]) * direction).sum().backward()
            found.append([given.grad, *(p.grad.clone() for p in crf.cell.parameters())])
            crf.zero_grad()
    for left, right in zip(*found, strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-8)


def test_volumes_of_a_batch_are_independent_and_need_not_be_contiguous() -> None:
    crf = CRFRNN(LABELS, kernels(3, False), 3)
    unary, image = problem((3, 4, 5), dtype=torch.float32)
    both = crf(unary, image)
    for i in range(2):
        torch.testing.assert_close(both[i], crf(unary[i : i + 1], image[i : i + 1])[0], rtol=0, atol=2e-5)
    strange = unary.transpose(2, 4).contiguous().transpose(2, 4)
    torch.testing.assert_close(crf(strange, image), both, rtol=0, atol=2e-5)


def test_a_volume_of_one_slice_is_an_image() -> None:
    crf = CRFRNN(LABELS, kernels(2, False), 3, filter="exact").double()
    unary, image = problem((5, 6))
    torch.testing.assert_close(crf(unary[:, :, None], image[:, :, None])[:, :, 0], crf(unary, image))


def test_saved_settings_keep_thetas_of_axes() -> None:
    import json

    crf = CRFRNN(LABELS, kernels(3, True))
    again = CRFRNN.from_settings(json.loads(json.dumps(crf.settings())))
    assert again.kernels == crf.kernels
    assert "theta_position=4/3/5" in str(crf)


@pytest.mark.parametrize(
    "theta",
    [(), (3.0, -1.0), ((1.0, 2.0), 3.0), np.ones(3), torch.ones(2)],
    ids=["none", "sign", "nested", "array", "tensor"],
)
def test_thetas_that_are_none(theta: Any) -> None:
    with pytest.raises(ValueError, match=r"theta_position .* or a tuple with one for each spatial axis"):
        smoothness_kernel(theta)
    with pytest.raises(ValueError, match=r"theta_guide .* or a tuple with one for each channel"):
        appearance_kernel(3.0, theta)


def test_thetas_are_numbers_of_any_kind() -> None:
    same = smoothness_kernel([3, np.float32(2), torch.tensor(1.0)])
    assert same == smoothness_kernel((3.0, 2.0, 1.0))
    assert smoothness_kernel(np.float32(3)) == smoothness_kernel(3)
