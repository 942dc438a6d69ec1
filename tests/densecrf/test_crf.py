"""DenseCRF and DenseCRF2D against mean field with dense matrices, in energies, as Kraehenbuehl and Koltun write it."""

import itertools

import numpy as np
import pytest
import torch

import crfrnn.densecrf as dcrf
from crfrnn.lattice import Lattice

LABELS, HEIGHT, WIDTH = 3, 6, 8
POINTS = HEIGHT * WIDTH
NORMALIZATIONS = [dcrf.NO_NORMALIZATION, dcrf.NORMALIZE_BEFORE, dcrf.NORMALIZE_AFTER, dcrf.NORMALIZE_SYMMETRIC]
KERNELS = [dcrf.CONST_KERNEL, dcrf.DIAG_KERNEL, dcrf.FULL_KERNEL]
RANDOM = np.random.default_rng(0)
ENERGY = RANDOM.normal(size=(LABELS, POINTS)).astype(np.float32)
IMAGE = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
COMPATS = {
    "number": 1.3,
    "vector": np.array([0.4, -1.1, -2.0], np.float32),
    "matrix": np.array([[0.1, 1.0, 2.0], [0.5, -0.3, 1.5], [0.2, 0.9, 0.0]], np.float32),
}
# By hand: Potts rewards agreement, a vector stays as it is, a matrix becomes its symmetric part.
PENALTIES = {
    "number": np.diag([-1.3, -1.3, -1.3]),
    "vector": np.diag([0.4, -1.1, -2.0]),
    "matrix": np.array([[0.1, 0.75, 1.1], [0.75, -0.3, 1.2], [1.1, 1.2, 0.0]]),
}


def lattice_matrix(features: np.ndarray) -> np.ndarray:
    """K [N, N] of features [D, N], the lattice applied to the identity: the error of the lattice is no matter here."""
    points = torch.from_numpy(features.T.copy()).float()[None]
    return Lattice.build(points).filter(torch.eye(points.shape[1])[None])[0].double().numpy()


def normalized(kernel: np.ndarray, normalization: int) -> np.ndarray:
    inverse = 1 / kernel.sum(1)
    return {
        0: kernel,
        1: kernel * inverse[None],
        2: kernel * inverse[:, None],
        3: kernel * np.sqrt(inverse[None] * inverse[:, None]),
    }[normalization]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(0))
    return powers / powers.sum(0)


def dense_beliefs(energy: np.ndarray, terms: list[tuple[np.ndarray, np.ndarray]], iterations: int) -> np.ndarray:
    """Beliefs [L, N]; terms are pairs of K [N, N] and W [L, L]."""
    beliefs = softmax(-energy.astype(np.float64))
    for _ in range(iterations):
        beliefs = softmax(-energy - sum(weights @ beliefs @ kernel.T for kernel, weights in terms))
    return beliefs


def pixel_features(sxy: tuple[float, float], srgb: tuple[float, ...] = (), image: np.ndarray = IMAGE) -> np.ndarray:
    """(x, y, channels ...) over their bandwidths, pixel by pixel."""
    points = []
    for y, x in itertools.product(range(HEIGHT), range(WIDTH)):
        colors = [float(image[y, x, c]) / s for c, s in enumerate(srgb)]
        points.append([x / sxy[0], y / sxy[1], *colors])
    return np.array(points).T


@pytest.mark.parametrize("normalization", NORMALIZATIONS, ids=lambda n: n.name)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
@pytest.mark.parametrize("compat", COMPATS)
def test_image_crf_equals_dense_mean_field(normalization: int, kernel: int, compat: str) -> None:
    # Sums over all neighbors, not their mean: weaker ones, or all beliefs would be 0 or 1.
    scale = 0.1 if normalization == dcrf.NO_NORMALIZATION else 1
    crf = dcrf.DenseCRF2D(WIDTH, HEIGHT, LABELS)
    crf.setUnaryEnergy(ENERGY)
    crf.addPairwiseGaussian(sxy=(1.7, 2.3), compat=0.5 * scale, kernel=kernel, normalization=normalization)
    crf.addPairwiseBilateral(
        sxy=(4.1, 5.3), srgb=(60, 70, 80), rgbim=IMAGE, compat=scale * COMPATS[compat], kernel=kernel,
        normalization=normalization,
    )  # fmt: skip
    smoothness = normalized(lattice_matrix(pixel_features((1.7, 2.3))), normalization)
    appearance = normalized(lattice_matrix(pixel_features((4.1, 5.3), (60, 70, 80))), normalization)
    terms = [(smoothness, -0.5 * scale * np.eye(LABELS)), (appearance, scale * PENALTIES[compat])]
    np.testing.assert_allclose(crf.inference(4), dense_beliefs(ENERGY, terms, 4), atol=2e-5)


def test_terms_of_all_kinds_add_up() -> None:
    features = RANDOM.normal(size=(4, 20)).astype(np.float32)
    energy = RANDOM.normal(size=(LABELS, 20)).astype(np.float32)
    crf = dcrf.DenseCRF(20, LABELS)
    crf.setUnaryEnergy(energy)
    terms = []
    for kind, normalization in zip(COMPATS, NORMALIZATIONS[1:], strict=True):
        crf.addPairwiseEnergy(features, COMPATS[kind], normalization=normalization)
        terms.append((normalized(lattice_matrix(features), normalization), PENALTIES[kind]))
    np.testing.assert_allclose(crf.inference(3), dense_beliefs(energy, terms, 3), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_images_of_any_number_of_channels(channels: int) -> None:
    image = RANDOM.integers(0, 256, (HEIGHT, WIDTH, channels)).astype(np.uint16)
    crf = dcrf.DenseCRF2D(WIDTH, HEIGHT, LABELS)
    crf.setUnaryEnergy(ENERGY)
    crf.addPairwiseBilateral(sxy=4, srgb=70, rgbim=image, compat=2)
    kernel = normalized(lattice_matrix(pixel_features((4, 4), (70,) * channels, image)), dcrf.NORMALIZE_SYMMETRIC)
    np.testing.assert_allclose(crf.inference(3), dense_beliefs(ENERGY, [(kernel, -2 * np.eye(LABELS))], 3), atol=1e-5)


def test_without_terms_beliefs_are_the_softmax_of_the_energies() -> None:
    crf = dcrf.DenseCRF(POINTS, LABELS)
    crf.setUnaryEnergy(ENERGY)
    for iterations in (0, 3):
        np.testing.assert_allclose(crf.inference(iterations), softmax(-ENERGY), atol=1e-6)


def image_crf(compat: float | np.ndarray = 2.0) -> dcrf.DenseCRF2D:
    crf = dcrf.DenseCRF2D(WIDTH, HEIGHT, LABELS)
    crf.setUnaryEnergy(ENERGY)
    crf.addPairwiseBilateral(4, 50, IMAGE, compat)
    return crf


def test_beliefs_are_an_array_as_in_pydensecrf() -> None:
    beliefs = image_crf().inference(2)
    assert type(beliefs) is np.ndarray
    assert beliefs.dtype == np.float32
    assert beliefs.shape == (LABELS, POINTS)
    assert beliefs.flags.writeable
    np.testing.assert_allclose(beliefs.sum(0), 1, atol=1e-6)


def test_single_steps_work_in_place_and_equal_inference() -> None:
    crf = image_crf()
    beliefs, tmp1, tmp2 = crf.startInference()
    same = beliefs
    for _ in range(3):
        assert crf.stepInference(beliefs, tmp1, tmp2) is None
    assert same is beliefs
    np.testing.assert_allclose(beliefs, crf.inference(3), atol=1e-7)


@pytest.mark.parametrize("kind", ["double", "strided", "tensor"])
def test_steps_take_beliefs_of_other_kinds(kind: str) -> None:
    crf = image_crf()
    start = crf.inference(0)
    if kind == "double":
        beliefs = start.astype(np.float64)
    elif kind == "strided":
        beliefs = np.zeros((2 * LABELS, POINTS), np.float32)[::2]
        beliefs[...] = start
    else:
        beliefs = torch.from_numpy(start.copy())
    crf.stepInference(beliefs)
    np.testing.assert_allclose(np.asarray(beliefs), crf.inference(1), atol=1e-7)


def test_kl_number_is_that_of_pydensecrf() -> None:
    """Without 1/2 on the pair term and without log Z."""
    crf = image_crf(COMPATS["matrix"])
    beliefs = crf.inference(2).astype(np.float64)
    kernel = normalized(lattice_matrix(pixel_features((4, 4), (50, 50, 50))), 3)
    pair = PENALTIES["matrix"] @ beliefs @ kernel.T
    wanted = (beliefs * (np.log(beliefs) + ENERGY + pair)).sum()
    assert crf.klDivergence(beliefs) == pytest.approx(wanted, rel=1e-5)


def test_a_term_added_later_and_another_unary_count() -> None:
    crf = image_crf()
    crf.inference(1)
    crf.addPairwiseGaussian(sxy=2, compat=1.5)
    both = dcrf.DenseCRF2D(WIDTH, HEIGHT, LABELS)
    both.addPairwiseBilateral(4, 50, IMAGE, 2.0)
    both.addPairwiseGaussian(sxy=2, compat=1.5)
    for energy in (ENERGY, 2 * ENERGY[::-1]):
        crf.setUnaryEnergy(energy)
        both.setUnaryEnergy(energy)
        np.testing.assert_allclose(crf.inference(3), both.inference(3), atol=1e-6)


def test_inputs_are_copied() -> None:
    features = RANDOM.normal(size=(1, POINTS)).astype(np.float32)
    arrays = [ENERGY.copy(), IMAGE.copy(), features.copy()]
    crf = dcrf.DenseCRF2D(WIDTH, HEIGHT, LABELS)
    crf.setUnaryEnergy(arrays[0])
    crf.addPairwiseBilateral(4, 50, arrays[1], 2.0)
    crf.addPairwiseEnergy(arrays[2], 1.0)
    for array in arrays:
        array[...] = 1
    untouched = image_crf()
    untouched.addPairwiseEnergy(features, 1.0)
    np.testing.assert_array_equal(crf.inference(2), untouched.inference(2))


def test_energies_linear_in_features() -> None:
    weights, features = RANDOM.normal(size=(LABELS, 2)), RANDOM.normal(size=(2, POINTS))
    linear, given = image_crf(), image_crf()
    given.setUnary(dcrf.ConstUnary(weights @ features))
    for set_energy in (
        lambda: linear.setUnaryEnergy(weights, features),
        lambda: linear.setUnary(dcrf.LogisticUnary(weights, features)),
    ):
        linear.setUnaryEnergy(ENERGY)
        set_energy()
        np.testing.assert_allclose(linear.inference(2), given.inference(2), atol=1e-5)


def test_an_infinite_energy_forbids_a_label() -> None:
    energy = ENERGY.copy()
    energy[1, :10] = np.inf
    crf = image_crf()
    crf.setUnaryEnergy(energy)
    beliefs = crf.inference(3)
    assert (beliefs[1, :10] == 0).all()
    np.testing.assert_allclose(beliefs.sum(0), 1, atol=1e-6)
    assert np.isfinite(crf.klDivergence(beliefs))
