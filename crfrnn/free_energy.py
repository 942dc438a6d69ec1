"""What mean field lowers: the free energy of factorised beliefs."""

from einops import einsum
from torch import Tensor


def free_energy(beliefs: Tensor, unary: Tensor, penalty: Tensor) -> Tensor:
    """F = sum_i sum_l Q_i(l) (log Q_i(l) - U_i(l) + P_i(l) / 2), per image [B].

    It is the expected energy of labelings drawn from Q less the entropy of Q, so F >= -log Z, with equality where Q is
    the Gibbs distribution itself (Koller & Friedman 2009, section 11.5). The half counts every pair of pixels once. This
    holds for symmetric kernels without self-messages (normalization "symmetric" or "none", exclude_self=True) and a
    symmetric compatibility; elsewhere F is a figure to watch. Parallel updates may raise it now and then.

    Args:
        beliefs: Q [B, N, L].
        unary: U [B, N, L], logits as they are (not normalized), so that F compares with the Z of exp(U - pair terms).
        penalty: P [B, N, L] = mu sum_m W_m K_m Q for these beliefs.
    """
    # x log x is 0 at x = 0, where a product with log 0 would be NaN.
    negative_entropy = beliefs.xlogy(beliefs).sum((1, 2))
    return negative_entropy + einsum(beliefs, penalty / 2 - unary, "b n l, b n l -> b")
