"""E-steps of weakly supervised training (Papandreou, Chen, Murphy & Yuille 2015, arXiv 1502.02734).

An E-step estimates the labels of the pixels from the scores f [B, L, H, W] of a network and from the labels that the image
is known to hold. The estimate is the target of the next M-step, a step of SGD on the usual cross-entropy of the unbiased
scores. It is a constant there: no gradient passes through these functions. They run on the device of the scores, in float32
or wider.

`present` is bool: [B, L] says which labels an image holds, [B, L, H, W] says where in it each of them may be.
"""

import torch
from einops import rearrange
from torch import Tensor

from crfrnn._numbers import real_number, whole_number

MARGIN = 1e-5
"""by how much EM-Adapt puts absent labels below the weakest label that is present"""
LARGEST_SCORE = 1e30
"""larger scores would overflow when they are added"""


@torch.no_grad()
def em_fixed(scores: Tensor, present: Tensor, foreground_bias: float = 5.0, background_bias: float = 3.0) -> Tensor:
    """EM-Fixed: argmax over l of f(l) + b(l), with a bias of the labels that are present. -> int64 [B, H, W].

    b is `foreground_bias` for labels present at the pixel, 0 for absent ones, and `background_bias` for label 0, which
    counts as present everywhere (eq. 6 of the paper). With `crfrnn.weak.box_labels` this is box-wise EM-Fixed: a label has
    its bias only inside its boxes. The lowest label wins a tie.

    Raises TypeError or ValueError if scores or `present` have a wrong shape or type, if scores are not finite, or if a bias
    is negative.
    """
    scores = check_scores(scores, present)
    foreground_bias = real_number("foreground_bias", foreground_bias)
    background_bias = real_number("background_bias", background_bias)
    if not (0 <= foreground_bias < float("inf") and 0 <= background_bias < float("inf")):
        raise ValueError(f"got biases of {foreground_bias} and {background_bias}; wanted finite numbers of at least 0")
    where = present if present.ndim == 4 else rearrange(present, "b l -> b l 1 1")
    biased = scores + foreground_bias * where
    biased[:, 0] = scores[:, 0] + background_bias
    return biased.argmax(1)


@torch.no_grad()
def em_adapt(
    scores: Tensor,
    present: Tensor,
    foreground_portion: float = 0.2,
    background_portion: float = 0.4,
    rounds: int = 5,
    order: Tensor | None = None,
) -> Tensor:
    """EM-Adapt: the labels that win after `adapted_scores`, which has the same arguments. -> int64 [B, H, W].

    An absent label never wins. The lowest of the present labels wins a tie. An image without any label keeps the labels that
    its scores prefer.
    """
    adapted = adapted_scores(scores, present, foreground_portion, background_portion, rounds, order)
    # Ties with absent labels: equal scores stay equal, and far from zero the margin is lost in rounding.
    hidden = ~present & present.any(1, keepdim=True)
    return adapted.masked_fill(rearrange(hidden, "b l -> b l 1 1"), float("-inf")).argmax(1)


@torch.no_grad()
def adapted_scores(
    scores: Tensor,
    present: Tensor,
    foreground_portion: float = 0.2,
    background_portion: float = 0.4,
    rounds: int = 5,
    order: Tensor | None = None,
) -> Tensor:
    """Scores, biased so that each label of an image wins about its share of the pixels. -> [B, L, H, W].

    These are the steps of the released layer ADAPTIVE_BIAS_CHANNEL. M is the largest score of a present label at a pixel.
    First, absent labels above the weakest present one are put `MARGIN` below it. Then, `rounds` times, background and after
    it the other labels, in random order, get the smallest bias b with which they reach M on a share rho of the pixels:

        b = the floor(rho N)-th smallest, counted from 0, of M(i) - f_l(i),    f_l += b,    M = max(M, f_l).

    Last, all scores are shifted so that M has its old mean. A later label takes pixels from earlier ones, so the portions
    are approximate. An image without any label stays as it is.

    Args:
        scores: [B, L, H, W].
        present: bool [B, L].
        foreground_portion, background_portion: rho of the foreground labels and of label 0, at least 0 and below 1.
        rounds: how many turns every label has.
        order: numbers [B, rounds, L]; in each round, foreground labels take turns in ascending order of theirs. Random by
            default.

    Raises what `em_fixed` raises, and ValueError for portions or rounds out of range.
    """
    scores = check_scores(scores, present)
    batch, labels, height, _ = scores.shape
    if present.ndim != 2:
        raise ValueError(
            f"present has shape {list(present.shape)}; wanted [B, L]: EM-Adapt takes labels of whole images, not of boxes"
        )
    rounds = whole_number("rounds", rounds, 0)
    foreground_portion = real_number("foreground_portion", foreground_portion)
    background_portion = real_number("background_portion", background_portion)
    if not (0 <= foreground_portion < 1 and 0 <= background_portion < 1):
        raise ValueError(
            f"got portions of {foreground_portion} and {background_portion}; "
            "wanted shares of the image of at least 0 and below 1"
        )
    if order is None:
        order = torch.rand(batch, rounds, labels, device=scores.device)
    elif order.shape != (batch, rounds, labels):
        raise ValueError(f"order has shape {list(order.shape)}; wanted [B, rounds, L] = {[batch, rounds, labels]}")
    f = rearrange(scores, "b l h w -> b l (h w)")
    f = _suppressed(f, present)
    top = _largest(f, present)
    before, images, labeled = top.mean(1), torch.arange(batch, device=f.device), present.any(1)
    quota = torch.full((labels,), int(foreground_portion * f.shape[2]), device=f.device)
    quota[0] = int(background_portion * f.shape[2])
    for turns in _turns(order, present):
        for label in turns.unbind(1):  # one label of every image; images with fewer labels wait
            has_turn = present[images, label, None]
            own = f[images, label]
            gap = top - own
            bias = gap.sort(1).values.gather(1, quota[label, None])
            # A label that just reaches M has to tie with it, whichever way own + (top - own) is rounded.
            raised = torch.where(gap == bias, top, own + bias)
            own = torch.where(has_turn, raised, own)
            f[images, label] = own
            top = torch.where(has_turn, top.maximum(own), top)
    f += torch.where(labeled, before - top.mean(1), 0.0)[:, None, None]
    return rearrange(f, "b l (h w) -> b l h w", h=height)


def _suppressed(f: Tensor, present: Tensor) -> Tensor:
    """A copy of f [B, L, N] in which no absent label is above the weakest present one."""
    present = present[..., None]
    weakest = f.masked_fill(~present, float("inf")).amin(1, keepdim=True)
    return torch.where(~present & (f > weakest), weakest - MARGIN, f)


def _largest(f: Tensor, present: Tensor) -> Tensor:
    """M, the largest score of a label that is present; [B, N]."""
    return f.masked_fill(~present[..., None], float("-inf")).amax(1)


def _turns(order: Tensor, present: Tensor) -> list[Tensor]:
    """The labels in order of their turns, background first, [B, most labels of an image] for every round."""
    places = order.argsort(stable=True, dim=2).argsort(dim=2).to(present.device)
    places[..., 0] = -1
    places = places.masked_fill(~present[:, None], order.shape[2])
    return list(places.argsort(dim=2)[..., : int(present.sum(1).max())].unbind(1))


@torch.no_grad()
def mil_peaks(scores: Tensor, present: Tensor) -> Tensor:
    """Multiple-instance learning: the pixel at which each label that is present is likeliest. -> bool [B, L, H, W].

    This is the baseline of the paper (MIL-FCN, Pathak et al. 2014), whose loss is the mean of -log P(l) over these pixels.
    One pixel may be the likeliest for several labels. The first pixel wins a tie. Raises what `em_fixed` raises.
    """
    scores = check_scores(scores, present)
    if present.ndim != 2:
        raise ValueError(
            f"present has shape {list(present.shape)}; wanted [B, L], because an image is one bag of pixels"
        )
    height = scores.shape[2]
    beliefs = rearrange(scores.softmax(1), "b l h w -> b l (h w)")
    peaks = torch.zeros_like(beliefs, dtype=torch.bool).scatter(2, beliefs.argmax(2, keepdim=True), True)
    return rearrange(peaks & present[..., None], "b l (h w) -> b l h w", h=height)


def check_scores(scores: Tensor, present: Tensor) -> Tensor:
    """`scores` in float32 or wider. Raises TypeError or ValueError unless E-steps can take them and `present`."""
    for name, value in (("scores", scores), ("present", present)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} is a {type(value).__name__}; wanted a tensor: torch.as_tensor({name})")
    if scores.ndim != 4 or 0 in scores.shape or scores.shape[1] < 2:
        raise ValueError(f"scores have shape {list(scores.shape)}; wanted [B, L, H, W] with at least two labels")
    if not scores.is_floating_point():
        raise TypeError(f"scores are {scores.dtype}; wanted the floating-point scores of a network")
    if present.dtype != torch.bool:
        raise TypeError(f"present is {present.dtype}; wanted bool: see crfrnn.weak.annotated_labels")
    if present.shape not in (scores.shape[:2], scores.shape):
        raise ValueError(
            f"present has shape {list(present.shape)}, the scores {list(scores.shape)}; wanted [B, L] or [B, L, H, W] "
            "for the same images and labels"
        )
    if present.device != scores.device:
        raise ValueError(f"present is on {present.device}, the scores on {scores.device}; move one with .to(device)")
    if not bool((scores.abs() <= LARGEST_SCORE).all()):
        raise ValueError(
            f"the scores are not all finite and at most {LARGEST_SCORE:g} in size; the network that made them has diverged"
        )
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
