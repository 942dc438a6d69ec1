"""The layer under `torch.func`, whose gradients and maps are those of autograd and of a loop, and what it refuses."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.losses import dense_crf_loss

KERNELS = [smoothness_kernel(2.0, 1.0), appearance_kernel(8.0, 40.0, 2.0)]


def problem() -> tuple[CRFRNN, Tensor, Tensor]:
    crf = CRFRNN(3, KERNELS, 2, learn_bandwidths=True).double()
    return crf, 2 * torch.randn(4, 3, 6, 7).double(), 255 * torch.rand(4, 3, 6, 7).double()


def loss(logits: Tensor) -> Tensor:
    return (logits * torch.linspace(-1, 1, logits.numel()).view(logits.shape)).sum()


def test_grad_is_that_of_autograd() -> None:
    crf, unary, image = problem()
    got = torch.func.grad(lambda *given: loss(crf(*given)), argnums=(0, 1))(unary, image)
    given = unary.requires_grad_(), image.requires_grad_()
    torch.testing.assert_close(got, torch.autograd.grad(loss(crf(*given)), given))


def test_grad_to_parameters_is_that_of_autograd() -> None:
    crf, unary, image = problem()
    parameters = dict(crf.named_parameters())
    got = torch.func.grad(lambda p: loss(torch.func.functional_call(crf, p, (unary, image))))(parameters)
    wanted = torch.autograd.grad(loss(crf(unary, image)), list(parameters.values()))
    torch.testing.assert_close(list(got.values()), list(wanted))


@pytest.mark.parametrize("damping", [0.0, 0.3, "auto"])
def test_the_implicit_gradient_is_that_of_autograd(damping: float | str) -> None:
    """Its linear system is solved after the call, where `functional_call` has put the own parameters back."""
    _, unary, image = problem()
    crf = CRFRNN(3, KERNELS, 200, damping=damping, gradient="implicit").double()  # type: ignore[arg-type]
    with torch.no_grad():
        crf.cell.kernel_weights *= 0.3
    got = torch.func.grad(lambda unary: loss(crf(unary, image, tolerance=1e-6)))(unary)
    unary.requires_grad_()
    torch.testing.assert_close(got, *torch.autograd.grad(loss(crf(unary, image, tolerance=1e-6)), unary))


@pytest.mark.parametrize("axis", [0, 1])
def test_vmap_is_a_loop(axis: int) -> None:
    """Over images, at any axis, with a guide of their own each or one for all."""
    crf, unary, image = problem()
    unary = unary[:, None].movedim(0, axis)
    each = torch.func.vmap(crf, in_dims=(axis, 0))(unary, image[:, None])
    same = torch.func.vmap(crf, in_dims=(axis, None))(unary, image[:1])
    for i, own in enumerate(unary.unbind(axis)):
        torch.testing.assert_close(each[i], crf(own, image[i : i + 1]))
        torch.testing.assert_close(same[i], crf(own, image[:1]))


def test_gradients_by_image() -> None:
    """vmap of grad, to the unary and to the parameters, which all images share."""
    crf, unary, image = problem()
    parameters = dict(crf.named_parameters())

    def of_one(parameters: dict[str, Tensor], unary: Tensor, image: Tensor) -> Tensor:
        return loss(torch.func.functional_call(crf, parameters, (unary[None], image[None])))

    got = torch.func.vmap(torch.func.grad(of_one, argnums=(0, 1)), in_dims=(None, 0, 0))(parameters, unary, image)
    for i in range(len(unary)):
        own = unary[i : i + 1].clone().requires_grad_()
        wanted = torch.autograd.grad(loss(crf(own, image[i : i + 1])), [*parameters.values(), own])
        torch.testing.assert_close([each[i] for each in got[0].values()], list(wanted[:-1]))
        torch.testing.assert_close(got[1][i], wanted[-1][0])


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "jvp": (lambda crf, *given: torch.func.jvp(crf, given, given), "no derivatives in forward mode.*torch.func.grad"),
    "hessian": (lambda crf, u, i: torch.func.hessian(lambda u: loss(crf(u, i)))(u), "no derivatives in forward mode"),
    "grad of grad": (
        lambda crf, u, i: torch.func.grad(lambda u: torch.func.grad(lambda u: loss(crf(u, i)))(u).sum())(u),
        "first derivatives only",
    ),
    "trace": (lambda crf, *given: torch.jit.trace(crf, given), "torch.jit.trace.*use torch.export"),
    "script": (lambda crf, *given: torch.jit.script(crf), "torch.jit.script does not take a CRF; use torch.export"),
}


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind: str) -> None:
    run, message = REFUSED[kind]
    with pytest.raises(RuntimeError, match=message):
        run(*problem())


def test_what_transforms_do_not_take_says_so() -> None:
    crf, unary, image = CRFRNN(3, KERNELS), torch.randn(1, 3, 5, 6), 255 * torch.rand(1, 3, 5, 6)
    calls = {
        "CRFRNN.iterate": lambda u: next(crf.iterate(u, image)).logits.sum(),
        "a loss of pairs of pixels": lambda u: dense_crf_loss(u.softmax(1), image, KERNELS),
    }
    for name, call in calls.items():
        with pytest.raises(RuntimeError, match=f"{name} does not run inside torch.func, .*; use torch.autograd"):
            torch.func.grad(call)(unary)
