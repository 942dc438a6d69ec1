"""What one iteration of mean field leaves to look at: logits, beliefs, free energy; and which labels take part."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from einops import einsum, rearrange, reduce
from torch import Tensor


@dataclass(frozen=True, eq=False)
class MeanFieldState:
    """Where mean field stands after some iterations; iteration 0 is the unary alone. Logits and beliefs: [B, L, *space]."""

    iteration: int
    logits: Tensor
    beliefs: Tensor
    previous: Tensor | None
    """the beliefs one iteration before; None for iteration 0"""
    _unary: Tensor  # [B, N, L]
    _penalty: Callable[[Tensor], Tensor]  # of beliefs [B, N, L]
    _to_beliefs: Callable[[Tensor], Tensor]  # of logits [B, N, L]

    def residual(self) -> Tensor:
        """Largest change of any belief of each image in the last iteration, [B]; infinite for iteration 0."""
        if self.previous is None:
            return self.beliefs.new_full((len(self.beliefs),), torch.inf)
        return reduce((self.beliefs - self.previous).abs(), "b l ... -> b", "max")

    def free_energy(self) -> Tensor:
        """The mean-field objective of the beliefs [B], at the price of one message passing; see `free_energy`."""
        with full_precision(self.beliefs):
            beliefs = to_pixels(self.beliefs)
            return free_energy(beliefs, self._unary, self._penalty(beliefs))


class Layer(Protocol):
    """A CRF that says what one iteration after another gives, as `CRFRNN`."""

    min_belief: float

    def iterate(
        self,
        unary: Tensor,
        image: Tensor | None = None,
        num_iterations: int | None = None,
        features: Mapping[str, Tensor] | None = None,
        spacing: Sequence[float] | None = None,
    ) -> Iterator[MeanFieldState]: ...


@torch.no_grad()
def residual(
    crf: Layer,
    logits: Tensor,
    unary: Tensor,
    image: Tensor | None = None,
    features: Mapping[str, Tensor] | None = None,
    spacing: Sequence[float] | None = None,
) -> Tensor:
    """How far what a CRF gave is from settled, [B]: the largest change of any belief that one more iteration makes.

    The iteration is a whole step of all pixels, whatever options the logits were computed with: `residual(crf, crf(unary,
    image), unary, image)` tells after the fact what they are worth. It costs the building of the kernels and one iteration.

    Args:
        logits: [B, L, *space], what the layer returned.
        unary, image, features, spacing: what the layer was called with.

    Raises TypeError or ValueError for input that does not fit.
    """
    if not isinstance(logits, Tensor) or logits.shape != unary.shape:
        found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"logits: {found}; wanted what crf(unary, ...) returned, {list(unary.shape)} as the unary")
    state = next(crf.iterate(unary, image, 0, features, spacing))
    hidden = hidden_labels(widened(unary), crf.min_belief)
    before = (to_pixels(widened(logits)) + hidden).softmax(-1)
    with full_precision(before):
        after = state._to_beliefs(state._unary - state._penalty(before))
    return reduce((after - before).abs(), "b n l -> b", "max")


def to_pixels(image: Tensor) -> Tensor:
    """[B, L, *space] -> [B, N, L], one row of labels per pixel."""
    return rearrange(image, "b l ... -> b (...) l").contiguous()


def to_image(pixels: Tensor, size: Sequence[int]) -> Tensor:
    """[B, N, L] -> [B, L, *space], for an image of this size."""
    return rearrange(pixels, "b n l -> b l n").unflatten(2, tuple(size))


def widened(unary: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return unary.to(torch.promote_types(unary.dtype, torch.float32))


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


def believed_labels(unary: Tensor, min_belief: float) -> Tensor:
    """Whether softmax(unary) reaches `min_belief` at any pixel: logits [B, L, *space] -> bool [B, L]."""
    return unary.detach().softmax(1).flatten(2).amax(2) >= min_belief


def hidden_labels(unary: Tensor, min_belief: float) -> Tensor | float:
    """What leaves labels without belief that the unary nowhere believes in, added to logits [B, N, L]: -inf there, else 0.

    [B, L, *space] -> [B, 1, L], or 0 where every label takes part.
    """
    if min_belief == 0:
        return 0.0
    absent = ~believed_labels(unary, min_belief)
    return torch.zeros_like(absent, dtype=unary.dtype).masked_fill(absent, -torch.inf)[:, None]


def full_precision(like: Tensor) -> torch.autocast:
    """Autocast switched off for the device of `like`: sums over thousands of pixels need more than 16 bits."""
    return torch.autocast(like.device.type, enabled=False)
