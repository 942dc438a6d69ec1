"""Settings of SimpleCRF and MONAI, and pydensecrf's features of volumes, beside formulas written from their code."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import crfrnn.densecrf as dcrf
from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.convert import PairwiseTerm, from_monai, from_pydensecrf, from_simplecrf, to_pydensecrf
from tests.dense_meanfield import dense_features, dense_kernel, dense_normalized
from tests.space.problems import SIZES

LABELS, SIZE = 3, (3, 4, 5)
PARAM: dict[str, Any] = {
    "MaxIterations": 3.0, "PosW": 0.7, "PosRStd": 1.5, "PosCStd": 2, "PosZStd": 1, "BilateralW": 1.2,
    "BilateralRStd": 3.0, "BilateralCStd": 4.0, "BilateralZStd": 5.0, "ModalityNum": 2, "BilateralModsStds": (40.0, 70.0),
}  # fmt: skip


def exact(crf: CRFRNN) -> CRFRNN:
    return CRFRNN.from_settings({**crf.settings(), "filter": "exact"}).double()


def volume(size: tuple[int, ...] = SIZE, channels: int = 2) -> tuple[Tensor, Tensor]:
    """Probabilities [L, *space] and gray levels [C, *space]."""
    return torch.randn(LABELS, *size).double().softmax(0), torch.randint(0, 256, (channels, *size)).double()


def test_from_simplecrf_is_its_formula_on_volumes() -> None:
    """Q ~ exp(log P + w K Q): axes over Z, C and R, modalities over their stds, symmetric kernels, Potts as a reward."""
    probabilities, image = volume()
    axes = ((0.7, "Pos", None), (1.2, "Bilateral", PARAM["BilateralModsStds"]))
    terms = []
    for weight, name, colors in axes:
        stds = tuple(PARAM[f"{name}{axis}Std"] for axis in "ZCR")
        raw = dense_kernel(dense_features(image, stds, colors))
        terms.append(weight * dense_normalized(raw, "symmetric", exclude_self=False))
    start = probabilities.flatten(1).T
    beliefs = start
    for _ in range(3):
        beliefs = (start.log() + sum(term @ beliefs for term in terms)).softmax(1)
    logits = exact(from_simplecrf(LABELS, PARAM))(probabilities.log()[None], image[None])
    torch.testing.assert_close(logits.softmax(1)[0].flatten(1).T, beliefs, rtol=0, atol=1e-6)


def test_from_simplecrf_is_pydensecrf_on_images() -> None:
    crf = from_simplecrf(LABELS, (1.2, 4.0, 40.0, 0.7, 1.5, 3))
    wanted = from_pydensecrf(LABELS, [PairwiseTerm(1.5, 0.7), PairwiseTerm(4.0, 1.2, 40.0)], 3)
    assert crf.kernels == wanted.kernels
    assert (crf.normalization, crf.num_iterations) == (wanted.normalization, 3)


@pytest.mark.parametrize("axes", SIZES)
@pytest.mark.parametrize(
    "matrix", [None, [[1.0, 0.3, 0.0], [-0.2, 0.8, 0.1], [0.4, 0.0, 1.5]]], ids=["default", "matrix"]
)
def test_from_monai_is_its_formula(axes: int, matrix: Any) -> None:
    """Q ~ exp(U + factor (w_b K_b Q + w_g K_g Q) C), every kernel divided by its row sums, colors in 0..1."""
    _, image = volume(SIZES[axes])
    image, unary = image / 255, 2 * torch.randn(LABELS, *SIZES[axes]).double()
    kernels = [
        dense_normalized(dense_kernel(dense_features(image, *thetas)), "after", exclude_self=False)
        for thetas in ((3.0, 0.3), (2.0, None))
    ]
    rows = unary.flatten(1).T
    beliefs = rows.softmax(1)
    compatibility = torch.eye(LABELS).double() if matrix is None else torch.tensor(matrix).double()
    for _ in range(4):
        messages = 0.8 * kernels[0] @ beliefs + 0.5 * kernels[1] @ beliefs
        beliefs = (rows + 2.0 * messages @ compatibility).softmax(1)
    crf = from_monai(LABELS, 4, 0.8, 0.5, 3.0, 0.3, 2.0, 2.0, matrix)
    exactly = CRFRNN(LABELS, crf.kernels, 4, compatibility=crf.cell.compatibility, filter="exact").double()
    logits = exactly(unary[None], image[None])
    torch.testing.assert_close(logits.softmax(1)[0].flatten(1).T, beliefs, rtol=0, atol=1e-6)


def test_pydensecrf_features_of_a_volume_are_those_of_the_layer() -> None:
    """create_pairwise_gaussian and _bilateral: coordinates and channels over their bandwidths, in the order of the axes."""
    probabilities, image = volume()
    crf = dcrf.DenseCRF(probabilities[0].numel(), LABELS)
    crf.setUnaryEnergy(-probabilities.flatten(1).log().float().numpy())
    crf.addPairwiseEnergy(dcrf.utils.create_pairwise_gaussian((1.0, 2.0, 1.5), SIZE), 0.7)
    colors = image.movedim(0, 3).numpy()
    crf.addPairwiseEnergy(dcrf.utils.create_pairwise_bilateral((5.0, 4.0, 3.0), (40.0, 70.0), colors, chdim=3), 1.2)
    kernels = [smoothness_kernel((1.0, 2.0, 1.5), 0.7), appearance_kernel((5.0, 4.0, 3.0), (40.0, 70.0), 1.2)]
    layer = CRFRNN(LABELS, kernels, 3, "symmetric")
    beliefs = layer(probabilities.log().float()[None], image.float()[None]).softmax(1)[0].flatten(1)
    # The two put the axes of the lattice in other orders, so that it approximates the same sums in another way.
    assert np.abs(np.asarray(crf.inference(3)) - beliefs.detach().numpy()).max() < 0.06


def test_bandwidths_of_axes_and_channels_go_to_pydensecrf_and_back() -> None:
    terms = [PairwiseTerm((3.0, 4.0), 0.7), PairwiseTerm((5.0, 6.0), 1.2, (10.0, 20.0, 30.0))]
    crf = from_pydensecrf(LABELS, terms, 3)
    assert crf.kernels[1].theta_position == (6.0, 5.0)
    back = to_pydensecrf(crf)
    assert [(term.sxy, term.srgb) for term in back] == [(term.sxy, term.srgb) for term in terms]
    unary, image = torch.randn(LABELS, 6, 7), torch.randint(0, 256, (3, 6, 7)).float()
    given = dcrf.DenseCRF2D(7, 6, LABELS)
    given.setUnaryEnergy(-unary.flatten(1))
    given.addPairwiseGaussian((3.0, 4.0), 0.7)
    given.addPairwiseBilateral((5.0, 6.0), (10.0, 20.0, 30.0), image.movedim(0, 2), 1.2)
    beliefs = crf(unary[None], image[None]).softmax(1)[0].flatten(1).detach().numpy()
    np.testing.assert_allclose(beliefs, given.inference(3), atol=1e-5)


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="param has no PosW, BilateralModsStds; wanted the dict"):
        from_simplecrf(LABELS, {n: v for n, v in PARAM.items() if n not in ("PosW", "BilateralModsStds")})
    with pytest.raises(ValueError, match=r"param is \(1, 2\); wanted .*w1, alpha, beta, w2, gamma, it"):
        from_simplecrf(LABELS, (1, 2))
    with pytest.raises(ValueError, match=r"BilateralModsStds .*above 0"):
        from_simplecrf(LABELS, {**PARAM, "BilateralModsStds": (5.0, 0.0)})
    with pytest.raises(ValueError, match=r"compatibility has shape \[2, 2\]; wanted \[3, 3\]"):
        from_monai(LABELS, compatibility_matrix=torch.eye(2))
    with pytest.raises(ValueError, match=r"theta_guide.*is 0"):
        from_monai(LABELS, bilateral_color_sigma=0)
