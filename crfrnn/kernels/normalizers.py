"""Dividing a kernel by its row sums D_i = sum_j k(i, j): after filtering, before it, symmetrically or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from einops import repeat
from torch import Tensor

Normalization = Literal["after", "before", "symmetric", "none"]
NORMALIZATIONS = ("after", "before", "symmetric", "none")


class KernelMatrix(Protocol):
    """A raw kernel K over N pixels as a linear operator."""

    def filter(self, values: Tensor, transpose: bool = False) -> Tensor:
        """K values, or K^T values: [B, N, C] -> [B, N, C]."""

    def row_sums(self) -> Tensor:
        """sum_j k(i, j) [B, N]."""

    def diagonal(self) -> Tensor:
        """k(i, i) [B, N]."""


@dataclass(frozen=True)
class Normalizer:
    """A kernel divided by its row sums: diag(outer) (K - diag(self_term)) diag(inner), factors [B, N].

    They stay outside the raw filter, so that the adjoint of the product is that of its parts. `self_term` is k(i, i)
    where the message of a pixel to itself is dropped, else None; the row sums then are those without it.
    """

    inner: Tensor | None
    outer: Tensor | None
    self_term: Tensor | None

    def repeat(self, batch: int) -> Normalizer:
        """These factors of one image for a batch of images."""
        inner, self_term = _repeat(self.inner, batch), _repeat(self.self_term, batch)
        return Normalizer(inner, inner if self.outer is self.inner else _repeat(self.outer, batch), self_term)


def normalizer(kernel: KernelMatrix, normalization: Normalization, exclude_self: bool) -> Normalizer:
    """The factors for `kernel`. A pixel that no other one reaches gets factor 0."""
    self_term = kernel.diagonal() if exclude_self else None
    if normalization == "none":
        return Normalizer(None, None, self_term)
    total = kernel.row_sums()
    if self_term is None:
        factor = 1 / (total + 1e-20)
    else:
        # Where nothing but rounding is left of the sum, dividing by it would turn noise into messages; and a derivative
        # divides by its square, which must not be 0.
        numbers = torch.finfo(total.dtype)
        others = total - self_term
        alone = others <= (64 * numbers.eps * self_term).clamp(min=numbers.tiny**0.45)
        factor = (1 / others.masked_fill(alone, 1)).masked_fill(alone, 0)
    if normalization == "symmetric":
        # The square root has no slope at 0, which a lonely pixel would otherwise turn into a gradient of NaN.
        root = factor.clamp(min=torch.finfo(total.dtype).tiny).sqrt().masked_fill(factor == 0, 0)
        return Normalizer(root, root, self_term)
    return Normalizer(None, factor, self_term) if normalization == "after" else Normalizer(factor, None, self_term)


def _repeat(factor: Tensor | None, batch: int) -> Tensor | None:
    return None if factor is None else repeat(factor, "1 n -> b n", b=batch)
