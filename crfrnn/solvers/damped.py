"""Mean field that goes part of the way in every iteration, and how far it may go so that the free energy never rises.

The step is the proximal one of Baque et al. 2016, in the geometry of the Kullback-Leibler divergence D:

    Q' = argmin over R of <P Q - U, R> + sum R log R + sum_i (1 / r_i - 1) D(R_i, Q_i),

whose logits are (1 - r) logits + r x for x = U - P Q. `rates` makes r small enough for the free energy

    F(Q) = sum Q log Q - <Q, U> + <Q, P Q> / 2.

Let P be symmetric, d = Q' - Q and n_i the sum of |d_i| over labels. What Q' minimizes is 1 / r_i times as strongly convex as
D, so

    F(Q') - F(Q) <= <d, P d> / 2 - sum_i (1 / r_i - 1) D(Q'_i, Q_i) - sum_i D(Q_i, Q'_i) / r_i.

By Pinsker's inequality each D is at least n_i^2 / 2. Changes d_i sum to 0 over labels, so d_i . M d_j <= c(M) n_i n_j, where
c(M) is a quarter of the largest M_ab - M_cb - M_ad + M_cd, and since kernels are nowhere negative,

    <d, P d> <= <n, A n> <= sum_i a_i n_i^2,    A = sum_m c(mu W_m) (K_m + K_m^T) / 2,    a = A 1.

Hence F cannot rise where a_i <= 2 / r_i - 1, which r_i = 2 / (1 + a_i) makes an equality; a step has at most r_i = 1.

F sees the symmetric part of P alone. A kernel divided by its row sums on one side is not symmetric, nor is a lattice where
vertices are missing, nor need a learned mu W be. Mean field with such a P lowers no function at all, so the iteration with
these rates passes messages with (P + P^T) / 2, which is the P of the same F.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crfrnn.kernels import AnyKernels
from crfrnn.solvers import Beliefs, Update

Rate = float | Tensor
"""how far a step goes, above 0 and at most 1; one for all pixels, or [B, N, 1]"""


def damped(rate: Rate, to_beliefs: Beliefs) -> Update:
    """Logits move by the share `rate` of the way to the proposed ones."""

    def update(iteration: int, logits: Tensor, beliefs: Tensor, proposed: Tensor) -> tuple[Tensor, Tensor]:
        logits = logits + rate * (proposed - logits)
        return logits, to_beliefs(logits)

    return update


@torch.no_grad()
def rates(kernels: AnyKernels, matrices: Tensor, like: Tensor) -> Tensor:
    """r [B, N, 1], with which the free energy never rises; constants where gradients are taken.

    Args:
        kernels: those of the images.
        matrices: mu W_m [M, L, L].
        like: [B, N, L], for the number of pixels.
    """
    ones = torch.ones_like(like[..., :1])
    bounds = torch.stack([largest_exchange(matrix) for matrix in matrices])
    heard = kernels.weighted_sum(ones, bounds) + kernels.weighted_sum(ones, bounds, transpose=True)
    return (2 / (1 + heard / 2)).clamp(max=1)


def largest_exchange(matrix: Tensor) -> Tensor:
    """c(M), the largest d . M e of d and e that sum to 0 and whose absolute values sum to 1: [L, L] -> []."""
    differences = matrix[:, None] - matrix[None]
    return (differences.amax(-1) - differences.amin(-1)).amax() / 4
