"""The gradient at a fixed point of mean field: its memory and its value know nothing of the iterations that led there.

There x = U - P softmax(x). With S = diag(Q) - Q Q^T per pixel, the derivative of the softmax, a gradient g of the loss to x
becomes v = g - S P^T v, since x acts on itself. The gradients to all that x is computed from are those of one iteration that
is handed v in place of g.

v solves a linear system, by conjugate gradients: ten to twenty rounds where iterating as for x took a hundred and more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from crfrnn.solvers import Operator
from crfrnn.solvers.bicgstab import solve
from crfrnn.solvers.choice import Solver
from crfrnn.state import to_image, to_pixels

SETTLED = 1e-3
"""the largest change of a belief in a whole step that still counts as a fixed point, where the caller names none"""


def need_gradient(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def fixed_point(
    solver: Solver,
    unary: Tensor,
    at_once: Callable[[int, float], Tensor | None],
    iterations: int,
    tolerance: float | None,
) -> Tensor:
    """Logits [B, L, H, W] after at most `iterations`, with the gradients of the fixed point.

    Args:
        solver: mean field, damped or not.
        unary: U [B, L, H, W].
        at_once: the logits after some iterations, or at a tolerance; None where no fast code finds them.
        iterations: T, at least 1. The last one carries the gradients.
        tolerance: how much it may still change a belief; None for SETTLED.

    Raises ValueError where it changes one by more.
    """
    limit = SETTLED if tolerance is None else tolerance
    pixels = to_pixels(unary)
    with torch.no_grad():
        # Half of what is allowed, so that the last iteration does not exceed it where those before stopped in time.
        fast = at_once(iterations - 1, limit / 2)
        beliefs = (
            settle(solver, pixels, iterations - 1, limit / 2) if fast is None else solver.to_beliefs(to_pixels(fast))
        )
    logits = pixels - solver.penalty(beliefs)
    residual = float((solver.to_beliefs(logits.detach()) - beliefs).abs().max())
    if not residual <= limit:
        raise ValueError(
            f"mean field has not converged: the last iteration changed a belief by {residual:.2g}, and gradient='implicit' "
            f"wants at most {limit:g}; allow more iterations (num_iterations), a larger tolerance or damping, or take "
            "gradient='unrolled'"
        )
    logits = _FixedPoint.apply(logits, beliefs, solver.adjoint)
    return to_image(logits, unary.shape[2:])


def settle(solver: Solver, unary: Tensor, iterations: int, tolerance: float) -> Tensor:
    """Beliefs [B, N, L] after so many updates, or as soon as a whole step would change none by more than `tolerance`."""
    logits, beliefs = unary, solver.to_beliefs(unary)
    for iteration in range(1, iterations + 1):
        proposed = unary - solver.penalty(beliefs)
        if bool((solver.to_beliefs(proposed) - beliefs).abs().max() <= tolerance):
            break
        logits, beliefs = solver.update(iteration, logits, beliefs, proposed)
    return beliefs


class _FixedPoint(Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, beliefs: Tensor, adjoint: Operator) -> Tensor:
        ctx.save_for_backward(beliefs)
        ctx.adjoint = adjoint
        return logits.view_as(logits)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (beliefs,) = ctx.saved_tensors
        return solved(gradient, beliefs, ctx.adjoint), None, None


def solved(gradient: Tensor, beliefs: Tensor, adjoint: Operator) -> Tensor:
    """The v with v + S P^T v = g, all [B, N, L]. A gradient that is not finite comes back as it is.

    Raises RuntimeError where it is not found.
    """
    # By image, so that squares of small and large gradients are numbers, and none is lost beside that of another image.
    scale = gradient.abs().amax((1, 2), keepdim=True)
    if not bool(scale.isfinite().all()):
        return gradient
    scale = scale.clamp(min=torch.finfo(scale.dtype).tiny)

    def system(values: Tensor) -> Tensor:
        heard = adjoint(values)
        return values + beliefs * (heard - (beliefs * heard).sum(-1, keepdim=True))

    # What rounding keeps the rounds from finding is far below the distance from the fixed point itself.
    precision = torch.finfo(gradient.dtype).eps
    found, missing = solve(system, gradient / scale, precision**0.75)
    if not missing <= precision**0.5:
        raise RuntimeError(
            f"the implicit gradient was not found: {missing:.2g} of it is missing, since mean field is about to "
            "leave this fixed point; take damping='auto', a smaller tolerance or gradient='unrolled'"
        )
    return found * scale
