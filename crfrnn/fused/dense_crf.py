"""A dense CRF over one set of points in compiled CPU code: its kernels are built once and stay in memory of that code.

What `kernels` and `mean_field.py` do with tensors for layers, single calls do here: a small image takes less time than a
few operations of torch. Everything is float32, on the CPU, and without gradients.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from crfrnn import native
from crfrnn.fused.incremental import belief_limit
from crfrnn.fused.mean_field import label_matrices
from crfrnn.fused.views import view_matrices
from crfrnn.kernels import Normalization
from crfrnn.lattice.checks import MAX_DIMENSIONS, describe_reach
from crfrnn.native.interface import count, pointer

_NORMALIZATIONS: dict[Normalization, int] = {"none": 0, "before": 1, "after": 2, "symmetric": 3}


def library_for(points: int, device: torch.device) -> ctypes.CDLL | None:
    """The compiled code for so many points on this device, or None where there is none."""
    few = points * (MAX_DIMENSIONS + 1) < 2**31
    return native.library(torch.float32) if few and device.type == "cpu" else None


class _Owner:
    """Something in memory of the compiled code, which is freed together with this."""

    def __init__(self, address: int, free: Callable[[ctypes.c_void_p], Any]) -> None:
        self.address, self._free = address, free

    def __del__(self) -> None:
        self._free(ctypes.c_void_p(self.address))


class Term(_Owner):
    """A kernel over points and what normalizes it, at an address in compiled code."""

    def __init__(self, library: ctypes.CDLL, address: int, dimensions: int) -> None:
        super().__init__(address, library.native_term_free)
        self.dimensions = dimensions

    @classmethod
    def of_features(cls, library: ctypes.CDLL, features: Tensor, normalization: Normalization, threads: int) -> Term:
        """That of finite features [N, D], in units of their bandwidths.

        Raises:
            ValueError: they are too large for the precision of float32.
        """
        points, dimensions = features.shape
        address = library.native_term(
            pointer(features), count(points), dimensions, _NORMALIZATIONS[normalization], threads
        )
        if address is None:
            raise ValueError(describe_reach(features[None]))
        return cls(library, address, dimensions)

    @classmethod
    def of_pixels(
        cls, library: ctypes.CDLL, image: Tensor, thetas: Sequence[float], normalization: Normalization, threads: int
    ) -> Term | None:
        """That of (x, y, channels) over `thetas` of a contiguous image [h, w, C]; None where they are too large."""
        height, width, channels = image.shape
        address = library.native_pixel_term(
            pointer(image), count(height), count(width), channels, (ctypes.c_float * len(thetas))(*thetas),
            _NORMALIZATIONS[normalization], threads,
        )  # fmt: skip
        return None if address is None else cls(library, address, len(thetas))

    @property
    def alpha(self) -> float:
        """That of the lattice; see `Lattice.alpha`."""
        return 1 / (1 + 2.0**-self.dimensions)


class Pairwise(_Owner):
    """The kernels of all terms, built for the same number of threads, and penalties W [M], [M, L] or [M, L, L]."""

    def __init__(self, library: ctypes.CDLL, terms: Sequence[Term], penalties: Tensor, num_labels: int) -> None:
        self._library = library
        self._known: tuple[Tensor, Tensor] | None = None
        self._penalties, self._num_labels = penalties, num_labels
        matrices = None
        if penalties.ndim == 3:
            alphas = penalties.new_tensor([term.alpha for term in terms])
            matrices, *self._alive = view_matrices((alphas[:, None, None] * penalties).mT)
        address = library.native_pairwise(
            (ctypes.c_void_p * len(terms))(*(term.address for term in terms)), count(len(terms)), count(num_labels),
            pointer(penalties), penalties.ndim == 2, matrices and ctypes.byref(matrices), torch.get_num_threads(),
        )  # fmt: skip
        super().__init__(address, library.native_pairwise_free)

    def beliefs_after(self, logits: Tensor, iterations: int, message_tolerance: float = 0.0) -> Tensor:
        """Beliefs [L, N] after one update or more that start from softmax(logits), for contiguous logits [L, N]."""
        out, limit = torch.empty_like(logits), 0.0
        if message_tolerance > 0:
            limit = belief_limit(
                label_matrices(torch.eye(self._num_labels, device="cpu"), self._penalties), message_tolerance
            )
        self._library.native_run_iterations(
            ctypes.c_void_p(self.address), pointer(logits), count(iterations), ctypes.c_float(limit), pointer(out),
            torch.get_num_threads(),
        )  # fmt: skip
        return out.softmax(0)

    def step(self, logits: Tensor, beliefs: Tensor) -> bool:
        """Q <- softmax(logits - sum_m W_m K_m Q) in place, for logits [L, N] and contiguous beliefs Q [N, L].

        False, and nothing is written, where Q is not finite.
        """
        known, costs = self._known or (None, torch.empty_like(beliefs))
        self._known = None
        return self._library.native_step(
            ctypes.c_void_p(self.address), pointer(logits), pointer(beliefs), pointer(known), pointer(costs),
            torch.get_num_threads(),
        )  # fmt: skip

    def divergence(self, logits: Tensor, beliefs: Tensor) -> float | None:
        """sum_i Q_i . (log Q_i - logits_i + (sum_m W_m K_m Q)_i); None where Q is not finite.

        The next step does not filter the same beliefs again.
        """
        costs, value = torch.empty_like(beliefs), ctypes.c_double()
        finite = self._library.native_divergence(
            ctypes.c_void_p(self.address), pointer(logits), pointer(beliefs), pointer(costs), ctypes.byref(value),
            torch.get_num_threads(),
        )  # fmt: skip
        if not finite:
            return None
        self._known = beliefs.clone(), costs
        return value.value
