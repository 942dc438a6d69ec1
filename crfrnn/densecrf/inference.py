"""Mean field over the terms of a DenseCRF: all iterations at once, or one by one on rows [N, L], one for each point."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crfrnn.densecrf.terms import Term, stacked
from crfrnn.fused import mean_field as fused
from crfrnn.kernels import LatticeKernels


@dataclass(frozen=True, eq=False)
class Pairwise:
    """The normalized kernels of all terms and their penalties over labels."""

    kernels: LatticeKernels
    penalties: Tensor  # [M], [M, L] or [M, L, L], the smallest form that holds them all
    matrices: Tensor  # the same as [M, L, L]

    @classmethod
    def build(cls, terms: Sequence[Term], num_labels: int, device: torch.device) -> "Pairwise":
        lattices, normalizers = zip(*(term.points.lattice(term.normalization, device) for term in terms), strict=True)
        penalties = stacked([term.penalty.to(device) for term in terms])
        matrices = fused.label_matrices(torch.eye(num_labels).to(penalties), penalties)
        return cls(LatticeKernels(lattices, normalizers), penalties, matrices)

    def costs(self, beliefs: Tensor) -> Tensor:
        """sum_m W_m K_m Q: [N, L] -> [N, L]."""
        return self.kernels.weighted_sum(beliefs[None], self.penalties)[0]


def beliefs_after(logits: Tensor, pairwise: Pairwise | None, iterations: int) -> Tensor:
    """Beliefs [L, N] after `iterations` updates that start from softmax(logits), for logits [L, N]."""
    if not iterations or pairwise is None:
        return logits.softmax(0)
    fast = fused.mean_field(logits[None, ..., None], pairwise.kernels, pairwise.matrices, iterations)
    if fast is not None:
        return fast[0, ..., 0].softmax(0)
    unary, beliefs = as_rows(logits), as_rows(logits.softmax(0))
    for _ in range(iterations):
        beliefs = softmax_of_rows(unary - pairwise.costs(beliefs))
    return beliefs.T.contiguous()


def as_rows(values: Tensor) -> Tensor:
    """[L, N] -> [N, L]."""
    return values.T.contiguous()


def softmax_of_rows(rows: Tensor) -> Tensor:
    """Softmax over the labels of each point: [N, L] -> [N, L]. Torch is slow on short rows."""
    if rows.shape[1] < 8:
        return rows.T.contiguous().softmax(0).T.contiguous()
    return rows.softmax(1)
