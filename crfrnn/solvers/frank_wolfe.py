"""Regularized Frank-Wolfe (Le-Huu & Alahari 2021): beliefs move towards what minimizes the energy's slope and a regularizer.

    T = argmin over beliefs of <T, P Q - U> + R(T),    Q <- Q + s (T - Q)

With w the weight of the regularizer, R(T) = w sum T^2 / 2 makes T the distribution nearest to (U - P Q) / w, which is
sparse (sparsemax), and R(T) = w sum T log T makes it a softmax; with w = 1 and s = 1 that is mean field. The step s is a
number, the standard 2 / (t + 2) for t = 0, 1, ..., or, image by image, the one in 0..1 where the energy on the way,
E(Q) = <Q, P Q> / 2 - <Q, U>, is lowest. E is quadratic in s, so that step has a formula; and E, which leaves out the
regularizer, never rises.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from crfrnn.solvers import Beliefs, Update

Regularizer = Literal["l2", "entropy"]
Step = Literal["standard", "line_search"] | float
LEAST_BELIEF = 1e-9
"""what a belief of 0 has in the logarithm"""


def frank_wolfe(unary: Tensor, penalty: Callable[[Tensor], Tensor], step: Step, target: Beliefs) -> Update:
    """Beliefs move by the share `step` of the way to the target; the logits are their logarithms.

    Args:
        unary: U [B, N, L].
        penalty: P, of beliefs [B, N, L].
        step: see above.
        target: T for x = U - P Q.
    """

    def update(iteration: int, logits: Tensor, beliefs: Tensor, proposed: Tensor) -> tuple[Tensor, Tensor]:
        way = target(proposed) - beliefs
        if step == "line_search":
            share: float | Tensor = lowest(unary, beliefs, unary - proposed, way, penalty(way))
        else:
            share = 2 / (iteration + 1) if step == "standard" else step
        beliefs = beliefs + share * way
        return (beliefs + LEAST_BELIEF).log(), beliefs

    return update


def lowest(unary: Tensor, beliefs: Tensor, penalty: Tensor, way: Tensor, penalty_of_way: Tensor) -> Tensor:
    """The s in 0..1 with the lowest energy of Q + s D, by image [B, 1, 1].

    Args:
        unary, beliefs, penalty, way, penalty_of_way: U, Q, P Q, D and P D, each [B, N, L].
    """
    total = partial(torch.sum, dim=(1, 2), keepdim=True)
    slope = total(way * (penalty / 2 - unary)) + total(beliefs * penalty_of_way) / 2
    curvature = total(way * penalty_of_way)
    convex = curvature > 0
    inside = (-slope / curvature.masked_fill(~convex, 1)).clamp(0, 1)
    ends = (curvature / 2 + slope < 0).to(inside)
    return torch.where(convex, inside, ends)


def target_of(regularizer: Regularizer, weight: float, hidden: Tensor | float) -> Beliefs:
    """The target for x = U - P Q; labels with -inf in `hidden` have no belief."""
    project = sparsemax if regularizer == "l2" else partial(torch.softmax, dim=-1)
    return lambda proposed: project(proposed / weight + hidden)


def sparsemax(scores: Tensor) -> Tensor:
    """The distribution nearest to each row of scores (Martins & Astudillo 2016): [..., L] -> [..., L].

    The k likeliest labels keep a belief, where k is the largest number for which k times score k exceeds the sum of the
    first k scores less 1. What their sum exceeds 1 by is taken from all of them alike.
    """
    scores = scores - scores.amax(-1, keepdim=True)
    ordered = scores.sort(-1, descending=True).values
    excess = ordered.cumsum(-1) - 1
    places = torch.arange(1, scores.shape[-1] + 1, dtype=scores.dtype, device=scores.device)
    support = (places * ordered > excess).sum(-1, keepdim=True)
    return (scores - excess.gather(-1, support - 1) / support).clamp(min=0)
