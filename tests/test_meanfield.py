"""The CRF-RNN layer against a dense mean field, finite differences, and what follows from the equations."""

import itertools

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, feature_kernel, smoothness_kernel
from tests.dense_meanfield import dense_features, dense_kernel, dense_meanfield, dense_normalized

LABELS, HEIGHT, WIDTH = 4, 7, 9
SMOOTHNESS = smoothness_kernel(theta_gamma=1.5, weight=0.8)
APPEARANCE = appearance_kernel(theta_alpha=4.0, theta_beta=40.0, weight=1.3)


def problem(batch: int = 2, dtype: torch.dtype = torch.float64, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Random unaries and images."""
    unary = 2 * torch.randn(batch, LABELS, HEIGHT, WIDTH, dtype=dtype)
    return unary, 255 * torch.rand(batch, channels, HEIGHT, WIDTH, dtype=dtype)


def pixels(image: Tensor) -> Tensor:
    return image.reshape(image.shape[0], -1).T


def expected(crf: CRFRNN, unary: Tensor, image: Tensor, iterations: int, weights: list[Tensor], mu: Tensor) -> Tensor:
    """The dense answer for a layer with the two kernels above."""
    out = []
    for u, picture in zip(unary, image, strict=True):
        raw = [dense_kernel(dense_features(picture, 1.5)), dense_kernel(dense_features(picture, 4.0, 40.0))]
        kernels = [dense_normalized(kernel, crf.normalization, crf.exclude_self) for kernel in raw]
        out.append(dense_meanfield(pixels(u), kernels, weights, mu, iterations).T.reshape(u.shape))
    return torch.stack(out)


def label_matrix(weight: Tensor) -> Tensor:
    """A kernel weight of any form as a matrix over labels."""
    return weight if weight.ndim == 2 else torch.diag(weight.expand(LABELS))


FORMS = list(
    itertools.product(
        ("after", "before", "symmetric", "none"),
        ("scalar", "diagonal", "matrix"),
        ("potts", "matrix"),
        (False, True),
    )
)


@pytest.mark.parametrize(("normalization", "form", "compatibility", "exclude_self"), FORMS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_exact_layer_equals_dense_mean_field(
    normalization: str, form: str, compatibility: str, exclude_self: bool, dtype: torch.dtype, tolerance: float
) -> None:
    mu = 1 - torch.eye(LABELS) if compatibility == "potts" else torch.randn(LABELS, LABELS)
    crf = CRFRNN(
        LABELS,
        [SMOOTHNESS, APPEARANCE],
        normalization=normalization,
        kernel_weights=form,
        compatibility="potts" if compatibility == "potts" else mu,
        exclude_self=exclude_self,
        filter="exact",
    ).to(dtype)
    with torch.no_grad():
        crf.cell.kernel_weights += 0.3 * torch.randn(crf.cell.kernel_weights.shape, dtype=dtype)
        # Raw sums over many neighbors would saturate the beliefs.
        crf.cell.kernel_weights *= 0.1 if normalization == "none" else 1
    unary, image = problem(dtype=dtype)
    weights = [label_matrix(weight) for weight in crf.cell.kernel_weights]
    wanted = expected(crf, unary, image, 3, weights, mu.to(dtype))
    torch.testing.assert_close(crf(unary, image, num_iterations=3), wanted, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("normalization", ["after", "before", "symmetric", "none"])
@pytest.mark.parametrize("exclude_self", [False, True])
def test_lattice_layer_is_the_dense_mean_field_of_its_own_kernels(normalization: str, exclude_self: bool) -> None:
    """Materialise the lattice operators column by column; normalization and self-messages are then plain matrices."""
    crf = CRFRNN(
        LABELS,
        [SMOOTHNESS, APPEARANCE],
        normalization=normalization,
        exclude_self=exclude_self,
        kernel_weights="matrix",
        compatibility=torch.randn(LABELS, LABELS),
    ).double()
    with torch.no_grad():
        crf.cell.kernel_weights += 0.3 * torch.randn_like(crf.cell.kernel_weights)
        crf.cell.kernel_weights *= 0.1 if normalization == "none" else 1
    unary, image = problem(batch=1)
    image = image / 5  # close enough in color for every pixel to have neighbors in the lattice
    identity = torch.eye(HEIGHT * WIDTH, dtype=torch.float64)[None]
    raw = [lattice.filter(identity)[0] for lattice in crf.build_kernels({"image": image}, unary).stack.lattices]
    kernels = [dense_normalized(kernel, normalization, exclude_self) for kernel in raw]
    wanted = dense_meanfield(pixels(unary[0]), kernels, list(crf.cell.kernel_weights), crf.cell.compatibility, 3)
    torch.testing.assert_close(
        crf(unary, image, num_iterations=3)[0], wanted.T.reshape(unary[0].shape), rtol=0, atol=1e-9
    )


def test_lattice_layer_is_near_the_exact_one_on_a_smooth_picture() -> None:
    """Two plain regions, a noisy unary: the same labels nearly everywhere, and the noise is gone."""
    truth = torch.zeros(24, 30, dtype=torch.long)
    truth[:, 15:] = 1
    image = torch.stack([truth * 150.0 + 50 + torch.randn(24, 30) for _ in range(3)])[None]
    unary = torch.nn.functional.one_hot(truth, 2).permute(2, 0, 1)[None] + torch.randn(1, 2, 24, 30)
    kernels = [smoothness_kernel(2.0, 1.0), appearance_kernel(20.0, 20.0, 3.0)]
    exact, lattice = (CRFRNN(2, kernels, filter=filter)(unary, image).argmax(1)[0] for filter in ("exact", "lattice"))
    assert (unary.argmax(1)[0] != truth).float().mean() > 0.1
    assert (lattice != exact).float().mean() < 0.01
    assert (lattice != truth).float().mean() < 0.01


@pytest.mark.parametrize(
    ("normalization", "exclude_self", "form"),
    [
        ("after", False, "scalar"),
        ("after", True, "diagonal"),
        ("before", False, "matrix"),
        ("symmetric", True, "matrix"),
        ("none", False, "diagonal"),
    ],
)
@pytest.mark.parametrize("filter", ["exact", "lattice"])
def test_gradients_of_everything_by_finite_differences(
    filter: str, normalization: str, exclude_self: bool, form: str
) -> None:
    height, width, labels = 2, 4, 3
    kernels = [smoothness_kernel(1.7, 0.6), appearance_kernel(3.1, 55.0, 0.9)]
    crf = CRFRNN(
        labels,
        kernels,
        normalization=normalization,
        exclude_self=exclude_self,
        kernel_weights=form,
        learn_bandwidths=True,
        filter=filter,
        compatibility=1 - torch.eye(labels) + 0.1 * torch.randn(labels, labels),
    ).double()
    unary = torch.randn(1, labels, height, width, dtype=torch.float64, requires_grad=True)
    image = (255 * torch.rand(1, 2, height, width, dtype=torch.float64)).requires_grad_()
    names, parameters = zip(*crf.named_parameters(), strict=True)
    assert all(parameter.requires_grad for parameter in parameters), names

    def run(u: Tensor, i: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(crf, dict(zip(names, values, strict=True)), (u, i, 2))

    assert torch.autograd.gradcheck(run, (unary, image, *parameters), eps=1e-6, atol=1e-5, rtol=1e-4)


def test_no_iterations_return_the_unary() -> None:
    unary, image = problem()
    assert torch.equal(CRFRNN(LABELS)(unary, image, num_iterations=0), unary)
    assert torch.equal(CRFRNN(LABELS, num_iterations=0)(unary, image), unary)


@pytest.mark.parametrize("form", ["scalar", "diagonal", "matrix"])
def test_zero_weights_return_the_unary(form: str) -> None:
    unary, image = problem()
    crf = CRFRNN(LABELS, kernel_weights=form).double()
    torch.nn.init.zeros_(crf.cell.kernel_weights)
    assert torch.equal(crf(unary, image), unary)


def test_potts_and_minus_identity_give_equal_beliefs() -> None:
    unary, image = problem()
    potts = CRFRNN(LABELS).double()
    reward = CRFRNN(LABELS, compatibility=-torch.eye(LABELS)).double()
    torch.testing.assert_close(potts(unary, image).softmax(1), reward(unary, image).softmax(1), rtol=0, atol=1e-9)
    assert (potts(unary, image) - unary).abs().max() > 0.1


def test_relabeling_commutes() -> None:
    unary, image = problem()
    order = torch.tensor([2, 0, 3, 1])
    mu = torch.randn(LABELS, LABELS)
    crf = CRFRNN(LABELS, [SMOOTHNESS, APPEARANCE], compatibility=mu).double()
    renamed = CRFRNN(LABELS, [SMOOTHNESS, APPEARANCE], compatibility=mu[order][:, order]).double()
    torch.testing.assert_close(renamed(unary[:, order], image), crf(unary, image)[:, order], rtol=0, atol=1e-12)


def test_batch_equals_its_single_images() -> None:
    unary, image = problem(batch=3)
    crf = CRFRNN(LABELS, [SMOOTHNESS, APPEARANCE], exclude_self=True).double()
    singles = torch.cat([crf(unary[i : i + 1], image[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(crf(unary, image), singles, rtol=0, atol=1e-12)


def test_memory_layout_does_not_matter() -> None:
    unary, image = problem()
    crf = CRFRNN(LABELS, [SMOOTHNESS, APPEARANCE]).double()
    wanted = crf(unary, image)
    last = torch.channels_last
    strided = torch.stack([unary, unary + 1], -1)[..., 0]
    assert not strided.is_contiguous()
    torch.testing.assert_close(crf(unary.contiguous(memory_format=last), image.contiguous(memory_format=last)), wanted)
    torch.testing.assert_close(crf(strided, image.flip(3).flip(3)), wanted)


@pytest.mark.parametrize(
    ("height", "width", "labels", "channels"), [(1, 11, 2, 1), (9, 1, 3, 3), (1, 1, 2, 3), (5, 6, 2, 5)]
)
def test_awkward_shapes_equal_dense_mean_field(height: int, width: int, labels: int, channels: int) -> None:
    unary = torch.randn(1, labels, height, width, dtype=torch.float64)
    image = 255 * torch.rand(1, channels, height, width, dtype=torch.float64)
    crf = CRFRNN(labels, [smoothness_kernel(2.0, 1.0), appearance_kernel(2.0, 64.0, 2.0)], filter="exact").double()
    kernels = [
        dense_normalized(dense_kernel(features), "after", False)
        for features in (dense_features(image[0], 2.0), dense_features(image[0], 2.0, 64.0))
    ]
    eye = torch.eye(labels, dtype=torch.float64)
    wanted = dense_meanfield(pixels(unary[0]), kernels, [eye, 2 * eye], 1 - eye, 5).T.reshape(unary[0].shape)
    # The layer is built in float32, so that its bandwidth of 64 (a power of two) and 2 are exact and logarithms are not.
    torch.testing.assert_close(crf(unary, image)[0], wanted, rtol=0, atol=1e-5)
    assert CRFRNN(labels)(unary, image).shape == unary.shape


def test_feature_kernel_compares_given_features() -> None:
    unary, _ = problem(batch=1)
    depth = torch.rand(1, 1, HEIGHT, WIDTH, dtype=torch.float64)
    crf = CRFRNN(LABELS, [feature_kernel("depth", theta=0.25, weight=2.0)], filter="exact").double()
    kernel = dense_normalized(dense_kernel(pixels(depth[0]) / 0.25), "after", False)
    eye = torch.eye(LABELS, dtype=torch.float64)
    wanted = dense_meanfield(pixels(unary[0]), [kernel], [2 * eye], 1 - eye, 2).T.reshape(unary[0].shape)
    torch.testing.assert_close(crf(unary, num_iterations=2, features={"depth": depth})[0], wanted, rtol=0, atol=1e-5)


def test_a_pixel_alone_hears_nothing_when_it_excludes_itself() -> None:
    unary = torch.randn(1, 2, 1, 1, dtype=torch.float64, requires_grad=True)
    crf = CRFRNN(2, [smoothness_kernel(1.0, 3.0)], exclude_self=True, normalization="symmetric", learn_bandwidths=True)
    logits = crf.double()(unary)
    logits.sum().backward()
    assert torch.equal(logits, unary)
    assert crf.log_bandwidth_scales[0].grad.isfinite().all()


def test_iterate_walks_through_what_forward_returns() -> None:
    unary, image = problem()
    crf = CRFRNN(LABELS, [SMOOTHNESS, APPEARANCE]).double()
    states = list(crf.iterate(unary, image, num_iterations=4))
    assert [state.iteration for state in states] == [0, 1, 2, 3, 4]
    assert torch.equal(states[0].logits, unary)
    for state in states:
        torch.testing.assert_close(state.logits, crf(unary, image, num_iterations=state.iteration))
        torch.testing.assert_close(state.beliefs, state.logits.softmax(1))
    change = (states[3].beliefs - states[2].beliefs).abs().amax((1, 2, 3))
    torch.testing.assert_close(states[3].residual(), change)
    assert states[0].residual().isinf().all()


def test_tolerance_stops_at_the_fixed_point() -> None:
    unary, image = problem()
    crf = CRFRNN(LABELS, [SMOOTHNESS, APPEARANCE]).double()
    states = list(crf.iterate(unary, image, num_iterations=60))
    first = next(state for state in states if bool((state.residual() <= 1e-4).all()))
    assert 2 < first.iteration < 60
    assert torch.equal(crf(unary, image, num_iterations=60, tolerance=1e-4), first.logits)
    assert torch.equal(crf(unary, image, num_iterations=2, tolerance=1e-4), states[2].logits)


def test_autocast_leaves_the_layer_in_float32() -> None:
    unary, image = problem(dtype=torch.float32)
    crf = CRFRNN(LABELS, [SMOOTHNESS, APPEARANCE])
    wanted = crf(unary.bfloat16().float(), image)
    with torch.autocast("cpu", torch.bfloat16):
        got = crf(unary.bfloat16(), image)
        for _ in crf.iterate(unary, image, 1):
            assert torch.is_autocast_enabled("cpu")
    assert got.dtype == torch.float32
    assert torch.equal(got, wanted)


def test_print_says_what_the_layer_is_and_leaves_out_what_is_off() -> None:
    said = repr(CRFRNN(4, [smoothness_kernel(2.0)], message_tolerance=0.01, filter="exact"))
    for part in ("num_labels=4", "message_tolerance=0.01", "filter='exact'", "theta_position=2"):
        assert part in said
    assert "min_belief" not in said
    assert "dilate" not in said


def test_settings_and_state_rebuild_the_layer() -> None:
    unary, image = problem()
    crf = CRFRNN(
        LABELS, [SMOOTHNESS, APPEARANCE], 3, "symmetric", "diagonal", torch.randn(LABELS, LABELS), True, True
    ).double()
    crf.log_bandwidth_scales[1].data += 0.2
    again = CRFRNN.from_settings(crf.settings()).double()
    again.load_state_dict(crf.state_dict())
    assert again.settings() == crf.settings()
    assert torch.equal(again(unary, image), crf(unary, image))


def test_training_after_inference_mode_with_the_same_size() -> None:
    """Lattices of positions are kept from call to call and must serve both."""
    unary = torch.randn(1, LABELS, 6, 13, requires_grad=True)
    image = 255 * torch.rand(1, 3, 6, 13)
    crf = CRFRNN(LABELS, [SMOOTHNESS, APPEARANCE], exclude_self=True)
    with torch.inference_mode():
        wanted = crf(unary, image)
    got = crf(unary, image)
    got.sum().backward()
    assert torch.equal(got, wanted)
    assert unary.grad is not None
