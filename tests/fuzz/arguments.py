"""The public functions with odd arguments: they answer, finitely, or refuse with a ValueError or TypeError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

import crfrnn.densecrf as dcrf
from crfrnn import CRFRNN, appearance_kernel, feature_kernel, grid_kernel, refine, smoothness_kernel
from crfrnn.convert import PairwiseTerm, from_pydensecrf, gray_levels
from crfrnn.data import colorize, region_boxes
from crfrnn.lattice import Lattice, exact_gaussian_filter
from crfrnn.presets import MASKS
from crfrnn.weak import annotated_labels, box_labels, em_adapt, em_fixed, mil_peaks, seg_targets
from tests.fuzz.property import REFUSED, RIGHT, Property, answer_or_refusal

UNARY, IMAGE = torch.linspace(-1, 1, 60).view(1, 3, 4, 5), torch.arange(60.0).view(1, 3, 4, 5)
ENERGIES, PHOTO = UNARY[0].flatten(1).numpy(), IMAGE[0].permute(1, 2, 0).byte().numpy()
LABELS = torch.arange(20).view(1, 4, 5) % 3
PRESENT = torch.tensor([[True, False, True]])


def layer(**changed: Any) -> CRFRNN:
    return CRFRNN(
        **{"num_labels": 3, "kernels": [smoothness_kernel(3, 1.0), appearance_kernel(60, 10, 1.0)], **changed}
    )


def drop_in(
    w: Any, h: Any, nlabels: Any, u: Any, sxy: Any, srgb: Any, rgbim: Any, compat: Any, niter: Any, kernel: Any
) -> Any:
    crf = dcrf.DenseCRF2D(w, h, nlabels)
    crf.setUnaryEnergy(u)
    crf.addPairwiseGaussian(sxy=sxy, compat=compat, kernel=kernel)
    crf.addPairwiseBilateral(sxy=sxy, srgb=srgb, rgbim=rgbim, compat=compat)
    return crf.inference(niter)


def steps(nvar: Any, nlabels: Any, u: Any, features: Any, compat: Any) -> Any:
    crf = dcrf.DenseCRF(nvar, nlabels)
    crf.setUnaryEnergy(u)
    crf.addPairwiseEnergy(features, compat)
    Q, tmp1, tmp2 = crf.startInference()
    crf.stepInference(Q, tmp1, tmp2)
    return crf.klDivergence(Q)


def forward(unary: Any, image: Any, num_iterations: Any, tolerance: Any) -> Any:
    with torch.no_grad():
        return layer()(unary, image, num_iterations, tolerance)


def with_features(unary: Any, features: Any) -> Any:
    with torch.no_grad():
        return layer(kernels=[feature_kernel("depth", 2.0, 1.0)])(unary, features=features)


CALLS: dict[Callable[..., Any], dict[str, Any]] = {
    layer: {
        "num_labels": 3, "kernels": [smoothness_kernel(3, 1.0)], "num_iterations": 5, "normalization": "after",
        "kernel_weights": "scalar", "compatibility": "potts", "learn_bandwidths": False, "exclude_self": False,
        "dilate": False, "filter": "lattice", "min_belief": 0.0, "message_tolerance": 0.0,
    },
    forward: {"unary": UNARY, "image": IMAGE, "num_iterations": 2, "tolerance": None},
    with_features: {"unary": UNARY, "features": {"depth": IMAGE[:, :1]}},
    smoothness_kernel: {"theta_gamma": 3.0, "weight": 1.0},
    appearance_kernel: {"theta_alpha": 60.0, "theta_beta": 10.0, "weight": 1.0},
    grid_kernel: {"neighbors": 4, "theta_beta": 10.0, "weight": 1.0},
    Lattice.build: {"features": IMAGE.flatten(2).transpose(1, 2)},
    exact_gaussian_filter: {"values": UNARY.flatten(2).transpose(1, 2), "features": IMAGE.flatten(2).transpose(1, 2)},
    drop_in: {
        "w": 5, "h": 4, "nlabels": 3, "u": ENERGIES, "sxy": 3, "srgb": 13, "rgbim": PHOTO, "compat": 3, "niter": 3,
        "kernel": dcrf.DIAG_KERNEL,
    },
    steps: {"nvar": 20, "nlabels": 3, "u": ENERGIES, "features": ENERGIES, "compat": 3},
    refine: {"image": PHOTO, "probabilities": UNARY[0].softmax(0), "crf": MASKS, "device": None},
    dcrf.unary_from_labels: {"labels": LABELS.numpy(), "n_labels": 3, "gt_prob": 0.7, "zero_unsure": False},
    dcrf.unary_from_softmax: {"sm": UNARY[0].softmax(0).numpy(), "scale": None, "clip": 1e-5},
    dcrf.create_pairwise_gaussian: {"sdims": (3, 3), "shape": (4, 5)},
    dcrf.create_pairwise_bilateral: {"sdims": (3, 3), "schan": (9,), "img": PHOTO, "chdim": 2},
    PairwiseTerm: {"sxy": 3, "compat": 3, "srgb": None, "normalization": dcrf.NORMALIZE_SYMMETRIC},
    from_pydensecrf: {"num_labels": 3, "terms": [PairwiseTerm(3, 3)], "num_iterations": 5},
    gray_levels: {"bandwidth": 0.1, "std": 0.2},
    em_fixed: {"scores": UNARY, "present": PRESENT, "foreground_bias": 5.0, "background_bias": 3.0},
    em_adapt: {"scores": UNARY, "present": PRESENT, "foreground_portion": 0.2, "background_portion": 0.4, "rounds": 2},
    mil_peaks: {"scores": UNARY, "present": PRESENT},
    annotated_labels: {"labels": LABELS, "num_labels": 3},
    box_labels: {"maps": LABELS, "num_labels": 3},
    seg_targets: {"image": IMAGE[0].byte(), "boxes": region_boxes(LABELS[0].byte())},
    colorize: {"labels": LABELS[0].byte()},
}  # fmt: skip
ODD: list[Any] = [
    None, True, -1, 0, 1, 2.5, 10**30, float("nan"), float("inf"), 1e38, 1e-40, "3", "", b"x", [], (),
    {}, [3], (3, 3), [None],
    {"depth": 3}, object(), int, np.int64(2), np.float32(0.5), np.array("x"), np.zeros(0), np.ones(3), np.ones((3, 3), bool),
    np.full((3, 3), np.nan), np.ones((4, 5, 3), complex), np.array([[1], [2]], object), np.ma.masked_all((4, 5)),
    torch.zeros(()), torch.zeros(0), torch.ones(3, dtype=torch.complex64), torch.ones(1, 3, 4, 5, dtype=torch.int8),
    torch.ones(1, 3, 4, 5, dtype=torch.float16), torch.ones(1, 3, 4, 5, device="meta"), torch.ones(3, 20).to_sparse(),
    torch.full((1, 3, 4, 5), float("nan")), torch.full((1, 3, 4, 5), 3e38), torch.ones(1, 3, 4, 5).double(),
    torch.ones(2, 3, 9, 1),
    torch.ones(1, 3, 0, 5), UNARY, UNARY.requires_grad_(False).transpose(2, 3), torch.ones(3, 3), smoothness_kernel(3, 1.0),
]  # fmt: skip


class Case(NamedTuple):
    call: int
    changes: list[tuple[int, int]]  # which argument, and which odd value
    left_out: int | None


CASES = st.builds(
    Case,
    call=st.integers(0, len(CALLS) - 1),
    changes=st.lists(st.tuples(st.integers(0, 20), st.integers(0, len(ODD) - 1)), min_size=0, max_size=2),
    left_out=st.one_of(st.none(), st.none(), st.none(), st.integers(0, 20)),
)


def check(case: Case) -> str:
    function, arguments = list(CALLS.items())[case.call]
    arguments = dict(arguments)
    names = list(arguments)
    for which, value in case.changes:
        arguments[names[which % len(names)]] = ODD[value]
    if case.left_out is not None:
        del arguments[names[case.left_out % len(names)]]
    answer, refusal = answer_or_refusal(lambda: function(**arguments))
    if refusal is not None:
        return REFUSED
    for array in (answer, *answer) if isinstance(answer, tuple) else (answer,):
        if isinstance(array, (Tensor, np.ndarray, float)):
            assert np.isfinite(np.asarray(array)).all(), "the answer is not finite"
    return RIGHT


PROPERTIES = [Property("odd arguments", CASES, check)]
