"""rloss and its gated form against the formulas of the released codes, written out with a matrix for their filter."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crfrnn.kernels import appearance_kernel
from crfrnn.lattice import exact_gaussian_filter, permutohedral_filter
from crfrnn.losses import dense_crf_loss, energy_gated_loss, rloss
from tests.losses.dense import problem

FILTERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "lattice": permutohedral_filter,
    "exact": exact_gaussian_filter,
}


def photo(height: int = 21, width: int = 30) -> Tensor:
    """Two images [2, 3, H, W] like photographs: smooth shades, an edge, a little noise."""
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    bright = 60 + 2 * x + 40 * torch.sin(y / 5) + 90 * (x + y > 0.6 * width)
    image = torch.stack([bright, 0.8 * bright + 20, 150 - 0.3 * bright])
    return (torch.stack([image, image.flip(2)]) + 4 * torch.randn(2, 3, height, width)).clamp(0, 255).round()


class ReleasedFunction(torch.autograd.Function):
    """Forward and backward of their layer: W S is filtered once, and its gate, the mask and -2 / N make the gradient."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, segs: Tensor, rgb: float, xy: float, rois: Tensor, gate: Tensor, kind: str
    ) -> Tensor:
        n, k, h, w = segs.shape
        segs = segs * rois[:, None]
        filtered = torch.zeros_like(segs)
        y, x = torch.meshgrid(torch.arange(h).to(segs), torch.arange(w).to(segs), indexing="ij")
        for image in range(n):
            features = torch.stack([x / xy, y / xy, *(images[image] / rgb)]).flatten(1).T[None]
            for label in range(k):
                values = segs[image, label].reshape(1, -1, 1)
                filtered[image, label] = FILTERS[kind](values, features).reshape(h, w)
        filtered = filtered * gate[:, None]
        ctx.gradient = -2 * filtered / n * rois[:, None]
        return -(segs * filtered).sum() / n

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:  # type: ignore[override]
        return None, grad * ctx.gradient, None, None, None, None, None


def released(
    images: Tensor,
    segs: Tensor,
    rois: Tensor,
    rgb: float,
    xy: float,
    scale: float,
    kind: str,
    labels: Tensor | None = None,
) -> Tensor:
    """Their module: everything is scaled, then the function above; with `labels` that of RRM, AFA and ToCo."""
    small = {"scale_factor": scale, "recompute_scale_factor": True}
    images, segs = F.interpolate(images, **small), F.interpolate(segs, mode="bilinear", align_corners=False, **small)
    rois = F.interpolate(rois[:, None], **small)[:, 0]
    gate = torch.ones_like(rois)
    if labels is not None:
        unlabeled = F.interpolate(labels[:, None].to(torch.uint8), **small)[:, 0] == 255
        gate = rois - segs.detach().max(1)[0]
        gate[unlabeled] = 1
        gate[gate < 0] = 0
    return ReleasedFunction.apply(images, segs, rgb, xy * scale, rois, gate, kind)


def compared(loss: Callable[[Tensor], Tensor], scores: Tensor) -> tuple[Tensor, Tensor]:
    """Value and gradient to the scores of a loss of their softmax."""
    scores = scores.detach().requires_grad_()
    value = loss(scores.softmax(1))
    return value.detach(), torch.autograd.grad(value, scores)[0]


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("images", ["random", "photo"])
def test_rloss_is_the_released_one(images: str, scale: float) -> None:
    """With the exact kernel in place of their filter: value and gradient, at an odd size, with a mask of padding."""
    image = photo() if images == "photo" else 255 * torch.rand(2, 3, 21, 30, dtype=torch.float64)
    scores = 3 * torch.randn(2, 3, 21, 30, dtype=torch.float64)
    mask = torch.ones(2, 21, 30, dtype=torch.float64)
    mask[0, :, 22:] = 0
    mine = compared(lambda p: rloss(p, image, 80.0, 15.0, scale, mask, filter="exact"), scores)
    theirs = compared(lambda p: released(image, p, mask, 15.0, 80.0, scale, "exact"), scores)
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-10)


def test_on_the_lattice_the_value_is_the_released_one_and_the_gradient_close() -> None:
    """Their 2 W S is not quite the derivative there: W is not symmetric where vertices are missing."""
    image, scores = photo().float(), 3 * torch.randn(2, 3, 21, 30)
    mask = torch.ones(2, 21, 30)
    value, gradient = compared(lambda p: rloss(p, image, scale=0.5), scores)
    wanted, other = compared(lambda p: released(image, p, mask, 15.0, 80.0, 0.5, "lattice"), scores)
    torch.testing.assert_close(value, wanted, rtol=1e-5, atol=0)
    assert F.cosine_similarity(gradient.flatten(), other.flatten(), 0) > 0.99
    torch.testing.assert_close(gradient.norm(), other.norm(), rtol=0.05, atol=0)


@pytest.mark.parametrize("kind", FILTERS)
def test_gated_loss_is_a_step_of_the_released_training(kind: str) -> None:
    """ToCo: softmax of the scores, a mask of the box that the crop fills, pseudo labels with 255, weight 1e-7 times 0.05."""
    image = photo()
    scores = 3 * torch.randn(2, 4, 21, 30, dtype=torch.float64)
    labels = torch.randint(0, 4, (2, 21, 30))
    labels[torch.rand(2, 21, 30) < 0.4] = 255
    box = torch.zeros(2, 21, 30, dtype=torch.float64)
    box[0, 0:21, 3:30] = 1
    box[1, 2:17, 0:25] = 1
    weight = 0.05 * 1e-7
    mine = compared(lambda p: weight * energy_gated_loss(p, image, labels, mask=box, filter=kind), scores)
    theirs = compared(lambda p: weight * released(image, p, box, 15.0, 100.0, 0.5, kind, labels), scores)
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-18)


def test_without_labels_the_gate_is_open() -> None:
    probabilities, image, _, mask = problem()
    unlabeled = torch.full((2, 5, 6), 255)
    gated = energy_gated_loss(probabilities, image, unlabeled, 80.0, 15.0, 1.0, mask, filter="exact")
    torch.testing.assert_close(gated, rloss(probabilities, image, 80.0, 15.0, 1.0, mask, filter="exact"))


def test_rloss_is_the_dense_crf_loss_times_the_pixels_less_a_constant() -> None:
    """So a weight of one is a weight of the other."""
    probabilities, image, _, _ = problem()
    kernel = appearance_kernel(80.0, 15.0, 1.0)
    sure = F.one_hot(torch.zeros(2, 5, 6, dtype=torch.long), 3).permute(0, 3, 1, 2).double()  # which costs nothing
    mine = 30 * dense_crf_loss(probabilities, image, [kernel], normalization="none", filter="exact")
    theirs = rloss(probabilities, image, filter="exact") - rloss(sure, image, filter="exact")
    torch.testing.assert_close(theirs, mine)


def test_rloss_is_the_mean_over_images_and_labels_may_change_places() -> None:
    probabilities, image, _, mask = problem(batch=3, labels=4, height=8, width=9)
    loss = rloss(probabilities, image, scale=0.5, mask=mask)
    singles = [
        rloss(p[None], i[None], scale=0.5, mask=m[None]) for p, i, m in zip(probabilities, image, mask, strict=True)
    ]
    torch.testing.assert_close(sum(singles) / 3, loss)
    torch.testing.assert_close(rloss(probabilities[:, [3, 1, 0, 2]], image, scale=0.5, mask=mask), loss)


def test_masked_pixels_have_no_gradient() -> None:
    probabilities, image, _, _ = problem(height=8, width=9)
    mask = torch.rand(2, 8, 9) < 0.6
    labels = torch.randint(0, 3, (2, 8, 9))
    probabilities.requires_grad_()
    for loss in (
        rloss(probabilities, image, mask=mask),
        energy_gated_loss(probabilities, image, labels, scale=1, mask=mask),
    ):
        (gradient,) = torch.autograd.grad(loss, probabilities)
        assert not gradient[(~mask)[:, None].expand_as(gradient)].any()
        assert gradient.any()


def test_gradcheck_of_rloss() -> None:
    probabilities, image, _, mask = problem(batch=2, height=4, width=6)
    for kind in FILTERS:
        assert torch.autograd.gradcheck(
            lambda scores, kind=kind: rloss(scores.softmax(1), image, 9.0, 60.0, 0.5, mask, kind),
            probabilities.log().requires_grad_(),
            fast_mode=True,
        )


GIVEN, IMAGE, _, MASK = problem()
LABELS = torch.zeros(2, 5, 6, dtype=torch.long)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, "scale is 0.1 for 6 x 5 pixels", lambda: rloss(GIVEN, IMAGE, scale=0.1)),
        (ValueError, "scale is 2", lambda: rloss(GIVEN, IMAGE, scale=2)),
        (ValueError, "scale is nan", lambda: rloss(GIVEN, IMAGE, scale=float("nan"))),
        (TypeError, "scale is '1'", lambda: rloss(GIVEN, IMAGE, scale="1")),
        (ValueError, "bandwidth", lambda: rloss(GIVEN, IMAGE, theta_alpha=0.0)),
        (ValueError, "bandwidth", lambda: rloss(GIVEN, IMAGE, theta_beta=float("inf"))),
        (TypeError, "the labels are torch.float64", lambda: energy_gated_loss(GIVEN, IMAGE, MASK)),
        (ValueError, "labels have shape", lambda: energy_gated_loss(GIVEN, IMAGE, LABELS[:1])),
        (TypeError, "probabilities is a list", lambda: energy_gated_loss([1], IMAGE, LABELS)),
    ],
)
def test_says_what_is_wrong(error: type, words: str, call: Callable[[], Tensor]) -> None:
    with pytest.raises(error, match=words):
        call()
