"""Mean field over the terms of a DenseCRF: all iterations at once, or one by one on rows [N, L], one for each point.

On the CPU in compiled code where there is such code, else with tensors, on any device.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from crfrnn.densecrf.terms import Term, stacked
from crfrnn.fused import dense_crf
from crfrnn.fused import mean_field as fused
from crfrnn.kernels import LatticeKernels
from crfrnn.lattice.checks import all_finite


class Pairwise(Protocol):
    """The normalized kernels of all terms and their penalties over labels."""

    def beliefs_after(self, logits: Tensor, iterations: int, message_tolerance: float = 0.0) -> Tensor:
        """Beliefs [L, N] after one update or more that start from softmax(logits), for logits [L, N]."""

    def step(self, logits: Tensor, beliefs: Tensor) -> bool:
        """Q <- softmax(logits - sum_m W_m K_m Q) in place, for logits [L, N] and contiguous beliefs Q [N, L].

        False, and nothing is written, where Q is not finite.
        """

    def divergence(self, logits: Tensor, beliefs: Tensor) -> float | None:
        """sum_i Q_i . (log Q_i - logits_i + (sum_m W_m K_m Q)_i); None where Q is not finite."""


def build_pairwise(terms: Sequence[Term], num_labels: int, num_points: int, device: torch.device) -> Pairwise:
    """The terms on a device, in the fastest code there is for it."""
    library = dense_crf.library_for(num_points, device) if terms else None
    if library is not None:
        threads = torch.get_num_threads()
        penalties = stacked([term.penalty for term in terms], num_labels, device)
        built = [term.points.term(library, term.normalization, threads) for term in terms]
        return dense_crf.Pairwise(library, built, penalties, num_labels)
    return TensorPairwise(terms, num_labels, device)


class TensorPairwise:
    """`Pairwise` with tensors."""

    def __init__(self, terms: Sequence[Term], num_labels: int, device: torch.device) -> None:
        self._kernels: LatticeKernels | None = None
        self._known: tuple[Tensor, Tensor] | None = None
        if not terms:
            return
        with _engine(device):
            lattices, normalizers = zip(
                *(term.points.lattice(term.normalization, device) for term in terms), strict=True
            )
            self._kernels = LatticeKernels(lattices, normalizers)
            self._penalties = stacked([term.penalty for term in terms], num_labels, device)
            self._matrices = fused.label_matrices(
                torch.eye(num_labels, device=device).to(self._penalties), self._penalties
            )

    def beliefs_after(self, logits: Tensor, iterations: int, message_tolerance: float = 0.0) -> Tensor:
        with _engine(logits.device):
            if self._kernels is None:
                return logits.softmax(0)
            fast = fused.mean_field(
                logits[None, ..., None],
                self._kernels,
                self._matrices,
                iterations,
                message_tolerance=message_tolerance,
            )
            if fast is not None:
                return fast[0, ..., 0].softmax(0)
            unary, beliefs = _as_rows(logits), _as_rows(logits.softmax(0))
            for _ in range(iterations):
                beliefs = _softmax_of_rows(unary - self._costs(beliefs))
            return _as_rows(beliefs)

    def step(self, logits: Tensor, beliefs: Tensor) -> bool:
        if not all_finite(beliefs):
            return False
        with _engine(logits.device):
            known, self._known = self._known, None
            same = known is not None and torch.equal(known[0], beliefs)
            costs = known[1] if known is not None and same else self._costs(beliefs)
            beliefs.copy_(_softmax_of_rows(_as_rows(logits) - costs))
        return True

    def divergence(self, logits: Tensor, beliefs: Tensor) -> float | None:
        if not all_finite(beliefs):
            return None
        with _engine(logits.device):
            costs = self._costs(beliefs)
            # The next step usually starts from the same beliefs.
            self._known = beliefs.clone(), costs
            local = beliefs.clamp(min=1e-20).log_().sub_(_as_rows(logits)).add_(costs)
            # Summed in double precision, which not every device has.
            return float(local.mul_(beliefs).sum(1).cpu().sum(dtype=torch.float64))

    def _costs(self, beliefs: Tensor) -> Tensor:
        """sum_m W_m K_m Q: [N, L] -> [N, L]."""
        if self._kernels is None:
            return torch.zeros_like(beliefs)
        return self._kernels.weighted_sum(beliefs[None], self._penalties)[0]


@contextmanager
def _engine(device: torch.device) -> Iterator[None]:
    """Without gradients, and without autocast, which would multiply label matrices in half precision."""
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        yield


def _as_rows(values: Tensor) -> Tensor:
    """[L, N] -> [N, L], or back."""
    return values.T.contiguous()


def _softmax_of_rows(rows: Tensor) -> Tensor:
    """Softmax over the labels of each point: [N, L] -> [N, L]. Torch is slow on short rows."""
    if rows.shape[1] < 8:
        return _as_rows(_as_rows(rows).softmax(0))
    return rows.softmax(1)
