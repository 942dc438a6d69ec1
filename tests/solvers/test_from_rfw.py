"""Settings and weights of netw0rkf10w/CRF beside its formulas, written here for one image in 0..1."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN
from crfrnn.convert import from_rfw
from tests.dense_meanfield import dense_features, dense_kernel, dense_normalized
from tests.solvers.problems import LABELS, problem, rows

ALPHA, BETA, GAMMA = 4.0, 0.2, 1.5
FIXED = {"scheme": "fixed", "stepsize": 0.6, "regularizer": "l2", "lambda_": 2.0}


def sparsemax(values: Tensor) -> Tensor:
    """The nearest distribution to each row, by trying how many of its entries stay."""
    found = []
    for row in values:
        ordered = row.sort(descending=True).values
        for k in range(len(row), 0, -1):
            threshold = (ordered[:k].sum() - 1) / k
            if ordered[k - 1] > threshold:
                break
        found.append((row - threshold).clamp(min=0))
    return torch.stack(found)


def original(unary: Tensor, image: Tensor, matrices: list[Tensor], iterations: int, params: dict[str, Any]) -> Tensor:
    """Logits [N, L] of a DenseGaussianCRF for unary [N, L] and image [3, H, W] in 0..1; params None for mean field."""
    spatial, bilateral, compatibility = matrices
    kernels = [
        dense_normalized(dense_kernel(dense_features(image, *thetas)), "after", exclude_self=False)
        for thetas in ((GAMMA, None), (ALPHA, BETA))
    ]

    def penalty(q: Tensor) -> Tensor:
        return (kernels[0] @ q @ spatial.T + kernels[1] @ q @ bilateral.T) @ compatibility.T

    if not params:
        logits = unary
        for _ in range(iterations):
            logits = unary - penalty(logits.softmax(1))
        return logits
    q = unary.softmax(1)
    for t in range(iterations):
        x = (unary - penalty(q)) / params["lambda_"]
        way = (sparsemax(x) if params["regularizer"] == "l2" else x.softmax(1)) - q
        step = 2 / (2 + t) if params["scheme"] == "standard" else params["stepsize"]
        q = q + step * way
    return (q + 1e-9).log()


def layer_logits(crf: CRFRNN, unary: Tensor, image: Tensor) -> Tensor:
    """Of an exact layer, for an image in 0..1, which the layer gets in 0..255."""
    exact = CRFRNN.from_settings({**crf.settings(), "filter": "exact"})
    exact.load_state_dict(crf.state_dict())
    return rows(exact.double()(unary, 255 * image))[0]


@pytest.mark.parametrize(
    "params",
    [
        {},
        FIXED,
        {"scheme": "standard", "regularizer": "negentropy", "lambda_": 1.0},
    ],
    ids=["mean field", "fixed", "standard"],
)
def test_it_is_the_original(params: dict[str, Any]) -> None:
    unary, image = problem(1)
    image = image / 255
    eye = torch.eye(LABELS).double()
    wanted = original(rows(unary)[0], image[0], [3 * eye, 20 * eye, -0.5 * eye], 4, params)
    crf = from_rfw(
        classes=LABELS, alpha=ALPHA, beta=BETA, gamma=GAMMA, spatial_weight=3.0, bilateral_weight=20.0, compatibility=0.5,
        init="potts", solver="fw" if params else "mf", iterations=4, params=params or None,
    )  # fmt: skip
    found = layer_logits(crf, unary, image)
    torch.testing.assert_close(found.softmax(1), wanted.softmax(1), rtol=0, atol=1e-5)
    if params:
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3)


def test_trained_matrices_and_a_learned_lambda() -> None:
    unary, image = problem(1)
    image = image / 255
    matrices = [torch.randn(LABELS, LABELS) for _ in range(3)]
    names = ("spatial_weight", "bilateral_weight", "compatibility")
    state = {f"{name}.weight": matrix[..., None, None] for name, matrix in zip(names, matrices, strict=True)}
    state["fw_lambda"] = torch.tensor(1.7)
    params = {**FIXED, "lambda_": 1.7}
    wanted = original(rows(unary)[0], image[0], [matrix.double() for matrix in matrices], 4, params)
    crf = from_rfw(LABELS, ALPHA, BETA, GAMMA, solver="fw", iterations=4, params=SimpleNamespace(**FIXED), state=state)
    found = layer_logits(crf, unary, image)
    torch.testing.assert_close(found.softmax(1), wanted.softmax(1), rtol=0, atol=1e-5)


def test_the_scheme_and_the_defaults_of_the_params() -> None:
    crf = from_rfw(LABELS, ALPHA, BETA, GAMMA, solver="fw", params={"regularizer": "l2"})
    assert (crf.step, crf.regularizer, crf.regularizer_weight, crf.num_iterations) == ("line_search", "l2", 1.0, 5)
    assert [float(kernel.weight) for kernel in crf.kernels] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"init": "gaussian"}, "init is 'gaussian'; wanted 'potts'"),
        ({"solver": "pgd"}, "solver is 'pgd'; wanted 'mf' or 'fw'"),
        ({"bilateral_weight": -1}, "bilateral_weight is -1.0; wanted at least 0"),
        ({"beta": 0}, "beta is 0.0; wanted a finite bandwidth above 0"),
        ({"alpha": -3}, "alpha is -3.0; wanted a finite bandwidth above 0"),
        ({"gamma": "3"}, "gamma is '3'; wanted one real number"),
        ({"params": {**FIXED, "stepsize": 2}}, "stepsize is 2.0; wanted a number above 0 and at most 1"),
        ({"params": {**FIXED, "lambda_": 0}}, "lambda_ is 0.0; wanted a finite number above 0"),
        ({"params": {}}, "regularizer is None; wanted 'l2' or 'negentropy'"),
        ({"params": {**FIXED, "scheme": "greedy"}}, "scheme is 'greedy'; wanted 'fixed'"),
        ({"params": {**FIXED, "x0_weight": 0.5}}, "x0_weight is 0.5; wanted 0"),
        ({"params": {**FIXED, "step": 0.5}}, "params has step; wanted arguments of FrankWolfeParams"),
        ({"params": "l2"}, "params is 'l2'; wanted FrankWolfeParams, or a dict"),
        (
            {"state": {"compatibility.weight": torch.eye(LABELS)}},
            r"lacks spatial_weight.weight, bilateral_weight.weight",
        ),
        ({"state": {"spatial_weight.bias": torch.zeros(LABELS)}}, r"has spatial_weight.bias, which has no counterpart"),
    ],
    ids=str,
)
def test_what_has_no_counterpart_is_refused(changed: dict[str, Any], message: str) -> None:
    given = {"alpha": ALPHA, "beta": BETA, "gamma": GAMMA, "solver": "fw", "params": FIXED, **changed}
    with pytest.raises((TypeError, ValueError), match=message):
        from_rfw(LABELS, **given)


def test_matrices_of_another_size_are_refused() -> None:
    names = ("spatial_weight", "bilateral_weight", "compatibility")
    state = {f"{name}.weight": torch.eye(4)[..., None, None] for name in names}
    with pytest.raises(
        ValueError, match=r"spatial_weight.weight has shape \[4, 4, 1, 1\]; wanted \[3, 3, 1, 1\] for classes=3"
    ):
        from_rfw(LABELS, ALPHA, BETA, GAMMA, state=state)
