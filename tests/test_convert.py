"""Converted parameters give equal beliefs, by models written here with the signs of their authors."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import crfrnn.densecrf as dcrf
from crfrnn import CRFRNN, appearance_kernel, feature_kernel, smoothness_kernel
from crfrnn.convert import (
    PairwiseTerm,
    from_convcrf,
    from_crfasrnn,
    from_pydensecrf,
    gray_levels,
    to_convcrf,
    to_crfasrnn,
    to_pydensecrf,
)
from tests.dense_meanfield import dense_features, dense_kernel, dense_normalized

LABELS, HEIGHT, WIDTH, ITERATIONS = 3, 6, 7, 4
NORMALIZATIONS = [dcrf.NO_NORMALIZATION, dcrf.NORMALIZE_BEFORE, dcrf.NORMALIZE_AFTER, dcrf.NORMALIZE_SYMMETRIC]
COMPATS: dict[str, Any] = {
    "number": 0.6,
    "vector": np.array([0.2, -0.5, -0.9], np.float32),
    "matrix": np.array([[0.1, 0.5, 0.9], [0.3, -0.2, 0.4], [0.0, 0.6, 0.0]], np.float32),
}
SYMMETRIC = torch.tensor([[0.0, 1.0, 0.4], [1.0, -0.3, 0.7], [0.4, 0.7, 0.2]])


def problem() -> tuple[Tensor, Tensor]:
    """Logits [1, L, H, W] and image [1, 3, H, W]."""
    return torch.randn(1, LABELS, HEIGHT, WIDTH), torch.randint(0, 256, (1, 3, HEIGHT, WIDTH)).float()


def layer_beliefs(crf: CRFRNN, unary: Tensor, image: Tensor) -> np.ndarray:
    return crf(unary, image, ITERATIONS).softmax(1)[0].flatten(1).detach().numpy()


def densecrf_beliefs(terms: list[PairwiseTerm], unary: Tensor, image: Tensor) -> np.ndarray:
    crf = dcrf.DenseCRF2D(WIDTH, HEIGHT, LABELS)
    crf.setUnaryEnergy(-unary[0].flatten(1))
    for term in terms:
        if term.srgb is None:
            crf.addPairwiseGaussian(term.sxy, term.compat, normalization=term.normalization)
        else:
            guide = image[0].permute(1, 2, 0)
            crf.addPairwiseBilateral(term.sxy, term.srgb, guide, term.compat, normalization=term.normalization)
    return crf.inference(ITERATIONS)


@pytest.mark.parametrize("normalization", NORMALIZATIONS, ids=lambda n: n.name)
@pytest.mark.parametrize(("first", "second"), list(itertools.combinations_with_replacement(COMPATS, 2)))
def test_from_pydensecrf_and_back(normalization: dcrf.NormalizationType, first: str, second: str) -> None:
    terms = [
        PairwiseTerm(1.7, 0.3 * np.float32(COMPATS[first]), normalization=normalization),
        PairwiseTerm(4.3, 0.3 * np.float32(COMPATS[second]), srgb=61.0, normalization=normalization),
    ]
    unary, image = problem()
    wanted = densecrf_beliefs(terms, unary, image)
    crf = from_pydensecrf(LABELS, terms, ITERATIONS)
    np.testing.assert_allclose(layer_beliefs(crf, unary, image), wanted, atol=1e-5)
    back = to_pydensecrf(crf)
    assert [np.ndim(term.compat) for term in back] == [np.ndim(COMPATS[name]) for name in (first, second)]
    np.testing.assert_allclose(densecrf_beliefs(back, unary, image), wanted, atol=1e-5)


def test_equal_bandwidths_of_all_axes_are_one_number() -> None:
    kernels = from_pydensecrf(21, [PairwiseTerm((3.3, 3.3), 3), PairwiseTerm([80, 80], 10, srgb=(13, 13, 13))]).kernels
    assert kernels == [smoothness_kernel(3.3, 3), appearance_kernel(80, 13, 10)]


def test_potts_numbers_are_kept() -> None:
    """By hand: the README example of pydensecrf."""
    terms = [PairwiseTerm(3, 3), PairwiseTerm(80, 10, srgb=13)]
    crf = from_pydensecrf(21, terms)
    assert crf.normalization == "symmetric"
    assert [kernel.weight for kernel in crf.kernels] == [3, 10]
    torch.testing.assert_close(crf.cell.compatibility.detach(), 1 - torch.eye(21))
    assert [(t.sxy, t.srgb, t.compat) for t in to_pydensecrf(crf)] == [
        (pytest.approx(3), None, pytest.approx(3)),
        (pytest.approx(80), pytest.approx(13), pytest.approx(10)),
    ]


@pytest.mark.parametrize(
    ("form", "mu", "dimensions"),
    [("scalar", 1 - torch.eye(LABELS), 0), ("diagonal", 1 - torch.eye(LABELS), 1), ("scalar", SYMMETRIC, 2)],
)
@pytest.mark.parametrize("normalization", ["none", "before", "after", "symmetric"])
def test_to_pydensecrf(form: Any, mu: Tensor, dimensions: int, normalization: Any) -> None:
    kernels = [smoothness_kernel(1.7, 0.2), appearance_kernel(4.3, 61.0, 0.4)]
    crf = CRFRNN(LABELS, kernels, normalization=normalization, kernel_weights=form, compatibility=mu)
    with torch.no_grad():
        crf.cell.kernel_weights *= 0.5 + torch.rand(crf.cell.kernel_weights.shape)
        # Nothing but what is added to all labels of a pixel.
        crf.cell.compatibility += torch.rand(LABELS) if form == "scalar" else 0
    terms = to_pydensecrf(crf)
    assert [np.ndim(term.compat) for term in terms] == [dimensions] * 2
    unary, image = problem()
    np.testing.assert_allclose(densecrf_beliefs(terms, unary, image), layer_beliefs(crf, unary, image), atol=1e-5)


def kernels_of(image: Tensor, thetas: tuple[float, float, float], normalization: str) -> list[Tensor]:
    """Smoothness and appearance [N, N] for theta_gamma, theta_alpha, theta_beta."""
    gamma, alpha, beta = thetas
    features = [dense_features(image[0], gamma), dense_features(image[0], alpha, beta)]
    return [dense_normalized(dense_kernel(f), normalization, exclude_self=False) for f in features]


@pytest.mark.parametrize("convention", ["caffe", "keras", "pytorch"])
def test_crfasrnn_both_ways(convention: Any) -> None:
    spatial, bilateral, mu = (torch.randn(LABELS, LABELS) for _ in range(3))
    unary, image = problem()
    smoothness, appearance = kernels_of(image, (1.7, 4.3, 61.0), "after")
    logits = unary[0].flatten(1)
    for _ in range(ITERATIONS):
        beliefs = logits.softmax(0)
        pair = mu @ (spatial @ beliefs @ smoothness.T + bilateral @ beliefs @ appearance.T)
        logits = unary[0].flatten(1) + pair if convention == "pytorch" else unary[0].flatten(1) - pair
    crf = from_crfasrnn(spatial.numpy(), bilateral, mu, convention, theta_alpha=4.3, theta_beta=61.0, theta_gamma=1.7)
    crf.filter = "exact"
    np.testing.assert_allclose(layer_beliefs(crf, unary, image), logits.softmax(0), atol=2e-5)
    back = to_crfasrnn(crf, convention)
    wanted = {
        "spatial_ker_weights": spatial, "bilateral_ker_weights": bilateral, "compatibility_matrix": mu,
        "theta_alpha": 4.3, "theta_beta": 61.0, "theta_gamma": 1.7,
    }  # fmt: skip
    assert back.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(back[name], value, rtol=1e-6, err_msg=name)


def conf_of(norm: str, weight: str | None) -> dict[str, Any]:
    """A configuration of ConvCRF whose window is meant to hold the whole image."""
    return {
        "filter_size": 13, "blur": 1, "merge": False, "norm": norm, "weight": weight, "unary_weight": 1,
        "weight_init": 0.2, "convcomp": False,
        "pos_feats": {"sdims": 1.7, "compat": 0.5},
        "col_feats": {"sdims": 4.3, "schan": 61.0, "compat": 0.9, "use_bias": True},
    }  # fmt: skip


def convcrf_beliefs(conf: dict[str, Any], unary: Tensor, image: Tensor) -> Tensor:
    """ConvCRF with the whole image in its window. Its start, a message of log-probabilities, is that of mean field here."""
    place, color = conf["pos_feats"], conf["col_feats"]
    norm = {"sym": "symmetric", "none": "none"}[conf["norm"]]
    kernels = kernels_of(image, (place["sdims"], color["sdims"], color["schan"]), norm)
    mixed = conf["weight"] is not None
    log_p = unary[0].flatten(1).log_softmax(0)
    first, second = (conf["unary_weight"] - conf["weight_init"], conf["weight_init"]) if mixed else (1, 1)
    x = first * log_p
    for _ in range(ITERATIONS):
        message = place["compat"] * x.softmax(0) @ kernels[0].T + color["compat"] * x.softmax(0) @ kernels[1].T
        x = first * log_p + second * message
    return x.softmax(0)


@pytest.mark.parametrize("norm", ["none", "sym"])
@pytest.mark.parametrize("weight", [None, "scalar", "vector"])
def test_convcrf_both_ways(norm: str, weight: str | None) -> None:
    conf = conf_of(norm, weight)
    unary, image = problem()
    wanted = convcrf_beliefs(conf, unary, image)
    crf, factor = from_convcrf(LABELS, conf)
    crf.filter = "exact"
    np.testing.assert_allclose(layer_beliefs(crf, factor * unary, image), wanted, atol=1e-5)
    np.testing.assert_allclose(convcrf_beliefs(to_convcrf(crf), factor * unary, image), wanted, atol=1e-5)


def trained_convcrf(weight: str | None, convcomp: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A conf and a state dict in the names and shapes of GaussCRF, whose numbers differ from those of the conf."""
    conf = conf_of("none", weight) | {"trainable": True, "convcomp": convcomp}
    numbers = {"pos_sdims": 1 / 2.1, "pos_compat": 0.4, "col_sdims": -1 / 3.9, "col_schan": 1 / 55.0, "col_compat": 0.7}
    state = {name: torch.tensor([number]) for name, number in numbers.items()}
    state["mesh"] = torch.stack(torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij"))
    if weight is not None:
        state["CRF.weight"] = (
            torch.tensor([0.3]) if weight == "scalar" else torch.tensor([0.1, 0.3, 0.6]).view(1, 3, 1, 1)
        )
    if convcomp:
        state["CRF.comp.weight"] = 0.4 * torch.randn(LABELS, LABELS, 1, 1)
    return conf, state


def trained_convcrf_beliefs(conf: dict[str, Any], state: dict[str, Tensor], unary: Tensor, image: Tensor) -> Tensor:
    """As `convcrf_beliefs`, with the numbers of a state dict."""
    thetas = (2.1, 3.9, 55.0)
    kernels = kernels_of(image, thetas, "none")
    log_p = unary[0].flatten(1).log_softmax(0)
    weight = state["CRF.weight"].reshape(-1, 1) if "CRF.weight" in state else torch.ones(1, 1)
    first = conf["unary_weight"] - weight if "CRF.weight" in state else weight
    x = first * log_p
    for _ in range(ITERATIONS):
        beliefs = x.softmax(0)
        message = 0.4 * beliefs @ kernels[0].T + 0.7 * beliefs @ kernels[1].T
        if conf["convcomp"]:
            message = message + state["CRF.comp.weight"][..., 0, 0] @ message
        x = first * log_p + weight * message
    return x.softmax(0)


@pytest.mark.parametrize("convcomp", [False, True])
@pytest.mark.parametrize("weight", [None, "scalar", "vector"])
def test_trained_convcrf(weight: str | None, convcomp: bool) -> None:
    conf, state = trained_convcrf(weight, convcomp)
    unary, image = problem()
    crf, factor = from_convcrf(LABELS, conf, state=state)
    crf.filter = "exact"
    wanted = trained_convcrf_beliefs(conf, state, unary, image)
    assert (wanted - unary[0].flatten(1).softmax(0)).abs().max() > 0.01
    np.testing.assert_allclose(layer_beliefs(crf, factor * unary.log_softmax(1), image), wanted, atol=1e-5)


def test_a_state_dict_that_does_not_fit_is_refused_in_one_line() -> None:
    conf, state = trained_convcrf("vector", False)
    others: list[tuple[dict[str, Any], str]] = [
        ({"pos_sdims": None}, "the state dict lacks pos_sdims; wanted gauss_crf.state_dict"),
        (
            {"CRF.comp.weight": torch.ones(3, 3, 1, 1)},
            r"has CRF\.comp\.weight, which belongs to no GaussCRF with this conf",
        ),
        ({"CRF.weight": torch.ones(1, 4, 1, 1)}, r"CRF\.weight has shape \[1, 4, 1, 1\]; wanted .* num_labels=3"),
        ({"col_schan": torch.tensor([torch.nan])}, "col_schan holds NaN"),
        ({"col_schan": torch.zeros(1)}, "col_schan is 0"),
        ({"mesh": state["mesh"] + 0.5}, "mesh has pixels that training moved"),
    ]
    for changes, words in others:
        changed = {name: tensor for name, tensor in (state | changes).items() if tensor is not None}
        with pytest.raises(ValueError, match=words):
            from_convcrf(LABELS, conf, state=changed)
    with pytest.raises(ValueError, match=r"conf has no col_feats\.schan"):
        from_convcrf(LABELS, conf | {"col_feats": {"sdims": 3}})
    with pytest.raises(ValueError, match="conf has no norm"):
        from_convcrf(LABELS, {})
    with pytest.raises(ValueError, match="wanted the state dict that holds it"):
        from_convcrf(LABELS, conf | {"convcomp": True})


def test_numbers_of_numpy_and_lists() -> None:
    crf = from_pydensecrf(np.int64(3), [PairwiseTerm(np.float32(3), [-1, -2, -3])], np.int32(7))
    assert (crf.num_labels, crf.num_iterations) == (3, 7)
    matrices = torch.eye(3).tolist()
    assert from_crfasrnn(matrices, matrices, matrices, "caffe", num_iterations=np.int64(4)).num_iterations == 4
    assert from_convcrf(np.int64(3), conf_of("sym", None), num_iterations=np.int64(4))[0].num_iterations == 4


def test_convcrf_blur_and_color_scale() -> None:
    conf = {**conf_of("none", None), "blur": 4}
    assert [kernel.weight for kernel in from_convcrf(LABELS, conf)[0].kernels] == [0.5 / 16, 0.9 / 16]
    conf["col_feats"] = {**conf["col_feats"], "use_bias": False}
    with pytest.raises(ValueError, match="theta_alpha"):
        from_convcrf(LABELS, conf)
    assert from_convcrf(LABELS, conf, theta_alpha=9.0)[0].kernels[1].theta_position == 9
    assert gray_levels(0.1) == pytest.approx(25.5)
    assert gray_levels(0.1, std=0.225) == pytest.approx(5.7375)


def test_what_has_no_counterpart_is_refused() -> None:
    kernels = [smoothness_kernel(), appearance_kernel()]
    mixed = [PairwiseTerm(3, 3), PairwiseTerm(3, 3, normalization=dcrf.NORMALIZE_AFTER)]
    with pytest.raises(ValueError, match="wanted the same for all terms"):
        from_pydensecrf(LABELS, mixed)
    with pytest.raises(ValueError, match="sxy is"):
        from_pydensecrf(LABELS, [PairwiseTerm((3, 4, 5), 3)])
    with pytest.raises(ValueError, match="a bandwidth for each axis or channel"):
        to_crfasrnn(CRFRNN(LABELS, [smoothness_kernel((3, 4)), appearance_kernel()]), "caffe")
    with pytest.raises(ValueError, match="one of 3 axes; a DenseCRF2D has two"):
        to_pydensecrf(CRFRNN(LABELS, [smoothness_kernel((3, 4, 5))]))
    with pytest.raises(ValueError, match="not symmetric"):
        to_pydensecrf(CRFRNN(LABELS, kernels, compatibility=torch.tensor(COMPATS["matrix"])))
    with pytest.raises(ValueError, match="exclude_self"):
        to_pydensecrf(CRFRNN(LABELS, kernels, exclude_self=True))
    for other in ({"solver": "frank_wolfe"}, {"damping": 0.5}, {"damping": "auto"}):
        with pytest.raises(ValueError, match="other CRFs do undamped mean field"):
            to_pydensecrf(CRFRNN(LABELS, kernels, **other))
    blurred = CRFRNN(LABELS, kernels, learn_filter=True)
    to_pydensecrf(blurred)
    with torch.no_grad():
        blurred.log_side_scales[1][2] = 0.1
    with pytest.raises(ValueError, match="has learned the blur of its lattices; other CRFs have that of a Gaussian"):
        to_pydensecrf(blurred)
    with pytest.raises(ValueError, match="no counterpart"):
        to_pydensecrf(CRFRNN(LABELS, [feature_kernel("depth", 1.0, 1.0)]))
    with pytest.raises(ValueError, match="'after'"):
        to_crfasrnn(CRFRNN(LABELS, kernels, normalization="symmetric"), "caffe")
    with pytest.raises(ValueError, match="one smoothness and one appearance"):
        to_crfasrnn(CRFRNN(LABELS, kernels[:1]), "caffe")
    with pytest.raises(ValueError, match="convention is 'torch'"):
        to_crfasrnn(CRFRNN(LABELS, kernels), "torch")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="three times"):
        from_crfasrnn(torch.eye(3), torch.eye(3), torch.eye(2), "caffe")
    with pytest.raises(ValueError, match="spatial holds NaN"):
        from_crfasrnn(torch.eye(3) * torch.nan, torch.eye(3), torch.eye(3), "caffe")
    with pytest.raises(ValueError, match=r"bilateral has shape \[\]; wanted \[L, L\]$"):
        from_crfasrnn(torch.eye(3), 1.0, torch.eye(3), "caffe")
    with pytest.raises(TypeError, match="got a Linear; wanted a CRFRNN"):
        to_pydensecrf(torch.nn.Linear(1, 1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="normalization is 7; wanted one of NO_NORMALIZATION"):
        from_pydensecrf(3, [PairwiseTerm(3, 3, normalization=7)])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'none' and 'symmetric'"):
        to_convcrf(CRFRNN(LABELS, kernels))
    with pytest.raises(ValueError, match="Potts"):
        to_convcrf(CRFRNN(LABELS, kernels, normalization="none", compatibility=SYMMETRIC))
