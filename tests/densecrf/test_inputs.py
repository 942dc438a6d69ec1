"""What pydensecrf refuses is taken; what crashes it, or passes silently, is an error that says what to do."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import crfrnn.densecrf as dcrf

LABELS, HEIGHT, WIDTH = 3, 5, 7
POINTS = HEIGHT * WIDTH
RANDOM = np.random.default_rng(1)
ENERGY = RANDOM.normal(size=(LABELS, POINTS)).astype(np.float32)
IMAGE = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
BELIEFS = np.full((LABELS, POINTS), 1 / LABELS, np.float32)


def beliefs(energy: Any = ENERGY, image: Any = IMAGE, srgb: Any = 30, compat: Any = 2) -> np.ndarray:
    crf = dcrf.DenseCRF2D(WIDTH, HEIGHT, LABELS)
    crf.setUnaryEnergy(energy)
    crf.addPairwiseBilateral(sxy=3, srgb=srgb, rgbim=image, compat=compat)
    return crf.inference(3)


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


AS_OTHER_KINDS: dict[str, Callable[[np.ndarray], Any]] = {
    "float64": lambda a: a.astype(np.float64),
    "read-only": read_only,
    "Fortran order": np.asfortranarray,
    "reversed twice": lambda a: a[:, ::-1].copy()[:, ::-1],
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "nested lists": lambda a: a.tolist(),
    "tensor": lambda a: torch.from_numpy(a.copy()),
    "tensor with gradient": lambda a: torch.from_numpy(a.astype(np.float32)).requires_grad_(),
    "strided tensor": lambda a: torch.from_numpy(a.copy()).repeat_interleave(2, 0)[::2],
}


@pytest.mark.parametrize("kind", AS_OTHER_KINDS)
@pytest.mark.filterwarnings("error")
def test_arrays_of_any_kind(kind: str) -> None:
    convert = AS_OTHER_KINDS[kind]
    np.testing.assert_array_equal(beliefs(convert(ENERGY), convert(IMAGE)), beliefs())


@pytest.mark.parametrize(
    "compat", [2.0, np.float32(2), np.array(2), torch.tensor(2.0), [-2, -2, -2], -2 * np.eye(LABELS)]
)
def test_compat_of_any_kind(compat: Any) -> None:
    np.testing.assert_allclose(beliefs(compat=compat), beliefs(compat=2), atol=1e-6)


def test_autocast_changes_nothing() -> None:
    matrix = RANDOM.normal(size=(LABELS, LABELS))
    wanted = beliefs(compat=matrix)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(beliefs(compat=matrix), wanted)


def test_a_float_image_of_0_to_1_gets_a_warning_and_a_dark_photograph_none() -> None:
    with pytest.warns(UserWarning, match=r"image \* 255"):
        beliefs(image=IMAGE / 255)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        beliefs(image=IMAGE // 255)


@pytest.fixture
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double_precision")
def test_everything_is_float32_where_torch_makes_float64() -> None:
    crf = ready()
    crf.addPairwiseGaussian((3, 2), [1, 2, 3])
    crf.addPairwiseBilateral(3, 30, IMAGE, np.eye(LABELS))
    crf.addPairwiseEnergy(dcrf.create_pairwise_bilateral((3, 3), 30, IMAGE, chdim=2), 1.5)
    Q, tmp1, tmp2 = crf.startInference()
    crf.stepInference(Q, tmp1, tmp2)
    np.testing.assert_allclose(Q, crf.inference(1), atol=1e-6)
    crf.klDivergence(Q)
    features = dcrf.create_pairwise_gaussian((3, 3), (HEIGHT, WIDTH))
    labels, softmax = dcrf.unary_from_labels(IMAGE[..., 0] % 3, 2, 0.7), dcrf.unary_from_softmax(BELIEFS.tolist())
    assert {each.dtype for each in (Q, crf.inference(1), features, labels, softmax)} == {np.dtype(np.float32)}


def test_sizes_and_counts_of_any_kind() -> None:
    crf = dcrf.DenseCRF2D(np.int64(WIDTH), np.uint8(HEIGHT), torch.tensor(LABELS))
    crf.setUnaryEnergy(ENERGY)
    for count in (np.int32(2), np.float32(2), 2.0, torch.tensor(2)):
        np.testing.assert_array_equal(crf.inference(count), crf.inference(2))


def test_masked_arrays_without_a_mask_are_arrays() -> None:
    np.testing.assert_array_equal(beliefs(np.ma.array(ENERGY), np.ma.array(IMAGE, mask=False)), beliefs())


@pytest.mark.parametrize(
    "set_unary", [lambda crf, u: crf.setUnaryEnergy(u), lambda crf, u: crf.setUnary(dcrf.ConstUnary(u))]
)
def test_probabilities_for_energies_get_a_warning(set_unary: Callable[[dcrf.DenseCRF2D, np.ndarray], None]) -> None:
    probabilities = RANDOM.dirichlet(np.ones(LABELS), POINTS).T
    with pytest.warns(UserWarning, match="negative logarithm") as warned:
        set_unary(ready(), probabilities)
    assert [warning.filename for warning in warned] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        set_unary(ready(), -np.log(probabilities))
        set_unary(ready(), 0.9 * probabilities)
        set_unary(dcrf.DenseCRF2D(WIDTH, HEIGHT, 1), np.ones((1, POINTS)))


def test_energies_and_costs_at_the_end_of_float32_do_not_overflow() -> None:
    """By hand: what is certain stays certain, what all labels have alike says nothing."""
    certain = np.array([[3e38], [-3e38], [3e38]]) * np.ones(POINTS)
    for energy, wanted in (
        (certain, [[0], [1], [0]]),
        (np.full((LABELS, POINTS), -3.3e38), np.full((LABELS, 1), 1 / 3)),
    ):
        np.testing.assert_allclose(beliefs(energy), wanted * np.ones(POINTS), atol=1e-6)


def ready() -> dcrf.DenseCRF2D:
    crf = dcrf.DenseCRF2D(WIDTH, HEIGHT, LABELS)
    crf.setUnaryEnergy(ENERGY)
    return crf


def with_hole(array: np.ndarray, value: float) -> np.ndarray:
    array = array.astype(np.float64)
    array.flat[3] = value
    return array


BAD_CALLS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: dcrf.DenseCRF(POINTS, 0), ValueError, "nlabels is 0"),
    (lambda: dcrf.DenseCRF(0, 2), ValueError, "nvar is 0"),
    (lambda: dcrf.DenseCRF2D(7.5, 5, 2), TypeError, "w is 7.5"),
    (lambda: dcrf.DenseCRF2D(WIDTH, HEIGHT, LABELS).inference(1), ValueError, "setUnaryEnergy"),
    (lambda: dcrf.DenseCRF2D(WIDTH, HEIGHT, LABELS).startInference(), ValueError, "setUnaryEnergy"),
    (lambda: ready().setUnaryEnergy(ENERGY.T), ValueError, "transpose it"),
    (lambda: ready().setUnaryEnergy(ENERGY.reshape(LABELS, HEIGHT, WIDTH)), ValueError, "flatten the pixels"),
    (lambda: ready().setUnaryEnergy(with_hole(ENERGY, np.nan)), ValueError, "NaN"),
    (lambda: ready().setUnaryEnergy(with_hole(ENERGY, -np.inf)), ValueError, "-inf"),
    (lambda: ready().setUnaryEnergy(np.full((LABELS, POINTS), np.inf)), ValueError, "for every label"),
    (lambda: ready().setUnaryEnergy(ENERGY.astype(complex)), TypeError, "complex128"),
    (lambda: ready().setUnaryEnergy(None), TypeError, "NoneType"),
    (lambda: ready().setUnaryEnergy([[1, 2], [3]]), ValueError, "u is a list whose rows differ in length"),
    (lambda: ready().setUnaryEnergy(np.ma.array(ENERGY, mask=ENERGY > 1)), ValueError, r"fill them first: u\.filled"),
    (lambda: ready().setUnaryEnergy(torch.from_numpy(ENERGY).to_sparse()), TypeError, "u is a sparse tensor"),
    (lambda: ready().setUnaryEnergy(torch.from_numpy(ENERGY).to("meta")), TypeError, "u is a meta tensor"),
    (
        lambda: ready().setUnaryEnergy(torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged)),
        TypeError,
        "u is a nested tensor",
    ),
    (lambda: ready().setUnaryEnergy(ENERGY[:, :2], ENERGY), ValueError, r"\[nlabels, D\]"),
    (lambda: ready().setUnary(ENERGY), TypeError, "ConstUnary"),
    (lambda: ready().inference(-1), ValueError, "niter is -1"),
    (lambda: ready().inference(1.5), TypeError, "niter is 1.5"),
    (lambda: ready().addPairwiseGaussian(0, 3), ValueError, "sxy"),
    (lambda: ready().addPairwiseGaussian(-3, 3), ValueError, "sxy"),
    (lambda: ready().addPairwiseGaussian((3, np.nan), 3), ValueError, "sxy"),
    (lambda: ready().addPairwiseGaussian((3,), 3), ValueError, "one number, or 2"),
    (lambda: ready().addPairwiseGaussian(3, np.zeros(LABELS + 1)), ValueError, r"compat has shape \[4\]"),
    (lambda: ready().addPairwiseGaussian(3, np.zeros((LABELS, 2))), ValueError, "compat has shape"),
    (lambda: ready().addPairwiseGaussian(3, np.nan), ValueError, "compat holds NaN"),
    (lambda: ready().addPairwiseGaussian(3, -np.inf), ValueError, "compat holds NaN"),
    (lambda: ready().addPairwiseGaussian(3, 3e38), ValueError, r"compat reaches 3e\+38"),
    (lambda: ready().addPairwiseGaussian(3, "potts"), TypeError, "compat is a str"),
    (lambda: ready().addPairwiseGaussian(1e-50, 3), ValueError, "sxy"),
    (lambda: ready().addPairwiseGaussian(3, 3, kernel=np.zeros(2)), ValueError, "kernel is array"),
    (lambda: ready().addPairwiseGaussian(3, 3, kernel=7), ValueError, "kernel is 7"),
    (lambda: ready().addPairwiseGaussian(3, 3, normalization=4), ValueError, "normalization is 4"),
    (lambda: ready().addPairwiseBilateral(3, 3, IMAGE.transpose(1, 0, 2), 3), ValueError, r"\[5, 7, C\]"),
    (lambda: ready().addPairwiseBilateral(3, 3, IMAGE[..., 0], 3), ValueError, r"image\[..., None\]"),
    (lambda: ready().addPairwiseBilateral(3, 3, IMAGE[..., :0], 3), ValueError, r"rgbim has shape \[5, 7, 0\]"),
    (lambda: ready().addPairwiseBilateral(3, 3, IMAGE[:0], 3), ValueError, r"rgbim has shape \[0, 7, 3\]"),
    (lambda: ready().addPairwiseBilateral(3, 3, np.ma.array(IMAGE, mask=True), 3), ValueError, "105 masked entries"),
    (lambda: ready().addPairwiseBilateral(3, (3, 3), IMAGE, 3), ValueError, "srgb"),
    (lambda: ready().addPairwiseBilateral(3, 0, IMAGE, 3), ValueError, "srgb"),
    (lambda: ready().addPairwiseBilateral(3, 3, IMAGE.astype(int) - 128, 3), ValueError, "0..255"),
    (lambda: ready().addPairwiseBilateral(3, 3, with_hole(IMAGE, np.nan), 3), ValueError, "rgbim holds NaN"),
    (lambda: ready().addPairwiseEnergy(ENERGY.T, 3), ValueError, "transpose them"),
    (lambda: ready().addPairwiseEnergy(with_hole(ENERGY, np.inf), 3), ValueError, "features holds NaN"),
    (lambda: ready().addPairwiseEnergy(np.zeros((17, POINTS)), 3), ValueError, "17 dimensions; wanted 1 to 16"),
    (lambda: ready().stepInference(BELIEFS.tolist()), TypeError, "startInference"),
    (lambda: ready().stepInference(np.zeros((LABELS, POINTS), int)), TypeError, "floating point"),
    (lambda: ready().stepInference(BELIEFS[:, 1:].copy()), ValueError, "Q has shape"),
    (lambda: ready().stepInference(read_only(BELIEFS)), ValueError, "read-only"),
    (lambda: ready().stepInference(with_hole(BELIEFS, np.nan)), ValueError, "Q holds NaN"),
    (lambda: ready().stepInference(np.ma.array(BELIEFS, mask=True)), ValueError, "Q is a masked array"),
    (lambda: ready().klDivergence(BELIEFS.T), ValueError, "transpose it"),
]


@pytest.mark.parametrize("case", range(len(BAD_CALLS)))
def test_errors_say_what_came_and_what_was_wanted(case: int) -> None:
    call, kind, words = BAD_CALLS[case]
    with pytest.raises(kind, match=words):
        call()


def test_a_refused_term_leaves_the_crf_as_it_was() -> None:
    crf = ready()
    before = crf.inference(2)
    with pytest.raises(ValueError, match="compat"):
        crf.addPairwiseGaussian(3, np.zeros(2))
    np.testing.assert_array_equal(crf.inference(2), before)
