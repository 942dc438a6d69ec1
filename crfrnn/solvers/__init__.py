"""Other updates for the energy of crfrnn/meanfield.py, and the gradient at a fixed point.

With P Q = mu sum_m W_m K_m Q, the penalties, x = U - P Q are the logits that a mean-field iteration proposes. An update
makes the next logits and beliefs of them and of those before:

    mean field           Q <- softmax(x)
    damped               logits <- (1 - r) logits + r x, Q <- softmax(logits)           damped.py
    Frank-Wolfe          Q <- Q + s (argmax over T of <T, x> - R(T), less Q)            frank_wolfe.py

`implicit.py` differentiates a fixed point of the first two.
"""

from collections.abc import Callable

from torch import Tensor

Beliefs = Callable[[Tensor], Tensor]
"""from logits x [B, N, L] to the beliefs that a whole step leads to"""
Operator = Callable[[Tensor], Tensor]
"""linear, from [B, N, L] to [B, N, L]"""
Update = Callable[[int, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""from the number of the iteration, logits, beliefs and proposed logits x [B, N, L] to the next logits and beliefs"""


def mean_field(to_beliefs: Beliefs) -> Update:
    """The whole step."""
    return lambda iteration, logits, beliefs, proposed: (proposed, to_beliefs(proposed))
