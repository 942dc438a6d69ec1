"""What stands in the page, as plain values: model.js reads it."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from crfrnn import CRFRNN
from crfrnn.data import VOID
from crfrnn.kernels import IMAGE
from crfrnn.nets import GuidedCRF
from crfrnn.state import believed_labels
from eval.inputs.scored_photo import ScoredPhoto
from eval.pictures.explorer.strips import Strip, family, spanned, strip
from eval.pictures.explorer.terms import Terms, row_sums, terms_of
from eval.pictures.explorer.thumbnail import reduced

UNARY_STEPS, PENALTY_STEPS = 4095, 127
"""of logits between their least and largest: 12 and 7 bits"""
LEAST_BELIEF = 5e-4
"""of any pixel in a label on the thumbnail: it then could not be seen in 8 bits"""
MOST_PIXELS, MOST_ITERATIONS = 1_000_000, 50
NAMES = {(True, False): "smoothness", (True, True): "appearance", (False, True): "color"}
"""of kernels, by whether they compare positions and colors"""
UNITS = {"position": "px", "color": "gray levels"}


def content(scored: ScoredPhoto, num_iterations: int, labels: Sequence[str] = ()) -> dict[str, Any]:
    """Photo, beliefs, terms, kernels and thumbnail of one photograph.

    Args:
        labels: the names of those to show; by default the ones that cover the most pixels.

    Raises as `checked`.
    """
    crf = checked(scored, num_iterations)
    photo = scored.photo[None].to(scored.unary)
    terms = terms_of(crf, scored.unary, photo, num_iterations, [list(scored.classes).index(name) for name in labels])
    return {
        "height": photo.shape[2],
        "width": photo.shape[3],
        "iterations": num_iterations,
        "classes": list(scored.classes),
        "shown": terms.shown,
        "photo": packed_photo(scored.photo),
        "truth": None if scored.truth is None else strip(scored.truth[None].to(torch.uint8).numpy()),
        "void": VOID,
        **packed_terms(terms),
        "crf": packed_crf(crf, photo),
        "thumbnail": packed_thumbnail(scored),
    }


def checked(scored: ScoredPhoto, num_iterations: int) -> CRFRNN:
    """The CRF. Raises ValueError for what is too large for a page, and for solvers and kernels that a page
    cannot show."""
    if num_iterations > MOST_ITERATIONS:
        raise ValueError(
            f"--iterations is {num_iterations}; wanted at most {MOST_ITERATIONS}, as a page holds them all"
        )
    _, height, width = scored.photo.shape
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"the photograph has {width} x {height} pixels; wanted at most {MOST_PIXELS}, as a page holds all their "
            "beliefs: shrink it first"
        )
    if scored.crf.solver != "mean_field" or scored.crf.damping != 0:
        raise ValueError(
            f"the CRF has solver={scored.crf.solver!r} and damping={scored.crf.damping!r}, and the page explains undamped "
            "mean field only; eval.beliefs draws the beliefs of every solver"
        )
    if scored.crf.side_weights is not None:
        raise ValueError(
            "the CRF has a learned blur, and the page draws Gaussians; wanted one without learn_filter (--crf.learn-filter)"
        )
    for kernel in scored.crf.kernels:
        if kernel.neighbors is not None or kernel.guide not in (None, IMAGE):
            raise ValueError(
                f"{kernel} is no Gaussian of positions and colors, and the page draws only these; wanted a CRF of "
                "smoothness and appearance kernels"
            )
        if isinstance(kernel.theta_position, tuple) or isinstance(kernel.theta_guide, tuple):
            raise ValueError(
                f"{kernel} has a bandwidth for each axis or channel; wanted one for all, as the page has one slider"
            )
    return cast(CRFRNN, scored.crf)  # one with a learned guide has another kernel


def packed_photo(photo: Tensor) -> Strip:
    """A photograph uint8 [3, H, W] as a strip of its green, red and blue: each predicts the next one well."""
    return strip(photo[[1, 0, 2]].cpu().numpy())


def packed_terms(terms: Terms) -> dict[str, Any]:
    """Labels and beliefs of every iteration, the unary, and the penalties of every kernel and label."""
    return {
        "labels": strip(terms.labels.numpy()),
        "beliefs": family(list(terms.beliefs), 0.0, 1.0, 255),
        "unary": [spanned(each[None], UNARY_STEPS) for each in terms.unary],
        "penalties": [packed_penalties(kernel) for kernel in terms.penalties],
        "freeEnergy": terms.free_energy,
    }


def packed_penalties(penalties: Tensor) -> list[Strip]:
    """What one kernel takes from every label in every iteration, [K, T, H, W]."""
    if not penalties.numel():  # no iterations
        return []
    return family(list(penalties), float(penalties.min()), float(penalties.max()), PENALTY_STEPS)


def words(crf: CRFRNN | GuidedCRF) -> str:
    """The CRF in a sentence."""
    kernels = []
    for kernel in packed_kernels(crf):
        weight = "learned weights" if kernel["learned"] else f"weight {kernel['weight']:.4g}"
        thetas = [f"{kernel[name]:.4g} {unit}" for name, unit in UNITS.items() if kernel[name] is not None]
        kernels.append(f"{kernel['name']} ({weight}, θ {' and '.join(thetas)})")
    itself = ", without the message of a pixel to itself" if crf.exclude_self else ""
    return f"Kernels: {', '.join(kernels)}; normalization: {crf.normalization}{itself}; filter: {crf.filter}."


@torch.no_grad()
def packed_crf(crf: CRFRNN, photo: Tensor) -> dict[str, Any]:
    """What the page needs to compute mu sum_m W_m K_m Q by itself."""
    kernels = packed_kernels(crf)
    if crf.normalization in ("before", "symmetric"):
        for kernel, sums in zip(kernels, row_sums(crf, photo), strict=True):
            kernel["roots"] = spanned(inverse_roots(sums, crf.exclude_self)[None], 65535)
    return {"kernels": kernels, "normalization": crf.normalization, "excludeSelf": crf.exclude_self}


def packed_kernels(crf: CRFRNN | GuidedCRF) -> list[dict[str, Any]]:
    """Names, numbers and the matrix mu W_m [L, L] of every kernel; of one weight w per kernel, w and mu."""
    kernels = []
    for m, (kernel, thetas) in enumerate(zip(crf.kernels, crf.bandwidths, strict=True)):
        remaining = thetas.tolist()
        learned = crf.cell.kernel_weights.ndim > 1
        kernels.append(
            {
                "name": NAMES[kernel.theta_position is not None, kernel.guide is not None],
                "weight": 1.0 if learned else float(crf.cell.kernel_weights[m]),
                "learned": learned,
                "matrix": penalty_matrix(crf, m).tolist(),
                "position": remaining.pop(0) if kernel.theta_position is not None else None,
                "color": remaining.pop(0) if kernel.guide is not None else None,
                "roots": None,
            }
        )
    return kernels


def penalty_matrix(crf: CRFRNN | GuidedCRF, m: int) -> Tensor:
    """mu W_m [L, L]; for one weight per kernel mu alone, the weight being kept beside it."""
    weight, compatibility = crf.cell.kernel_weights[m], crf.cell.compatibility
    if weight.ndim == 0:
        return compatibility
    return compatibility * weight if weight.ndim == 1 else compatibility @ weight


def inverse_roots(sums: Tensor, exclude_self: bool) -> Tensor:
    """1 / sqrt(D), and 0 for a pixel that no other one reaches, as in `crfrnn.kernels.normalizers`."""
    least = 64 * torch.finfo(sums.dtype).eps if exclude_self else 0.0
    return sums.clamp(min=1e-20).rsqrt().masked_fill(sums <= least, 0)


def packed_thumbnail(scored: ScoredPhoto) -> dict[str, Any]:
    """The small photograph and the scores on it, without the labels that no pixel believes in, or that `min_belief` hides.

    Where all labels are charged alike, these would only lose.
    """
    photo, unary = reduced(scored.photo, scored.unary[0].cpu())
    believed = believed_labels(scored.unary, max(scored.crf.min_belief, LEAST_BELIEF))[0]
    labels = believed.nonzero()[:, 0].tolist()
    return {
        "height": photo.shape[1],
        "width": photo.shape[2],
        "photo": packed_photo(photo),
        "labels": labels,
        "unary": [spanned(unary[label][None], UNARY_STEPS) for label in labels],
    }
