"""On a pretended device without float64, as Apple's MPS is one, the whole package computes what it computes on the CPU."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import crfrnn
from crfrnn import CRFRNN, appearance_kernel, feature_kernel, grid_kernel, native, residual, smoothness_kernel
from crfrnn.data import LabeledBox
from crfrnn.densecrf import DenseCRF
from crfrnn.lattice import Lattice, exact_gaussian_filter, fallback, permutohedral_filter
from crfrnn.losses import dense_crf_loss, energy_gated_loss, normalized_cut_loss, rloss, windowed_crf_loss
from crfrnn.nets import build_model, infer
from crfrnn.weak import adapted_scores, annotated_labels, box_labels, em_adapt, em_fixed, mil_peaks, seg_targets
from eval.scoring.evaluate import evaluate
from eval.scoring.methods import network_alone, with_crf
from tests.elsewhere import MISSING, elsewhere, near
from tests.small_training import Photos, batch_of_three, training_step

Put = Callable[[Any], Any]
KERNELS = [smoothness_kernel(2.0, 0.6), appearance_kernel(5.0, 60.0, 0.8)]


def there(call: Callable[[Put], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What `call` gives for inputs there is what it gives for those on the CPU. Its argument puts tensors and modules."""
    monkeypatch.setattr(fallback, "_incomplete", {"mps"})  # which has warned
    seed = torch.random.get_rng_state()
    with native.disabled(), elsewhere(monkeypatch, kind="mps", wide=False, lacks=MISSING) as device:
        wanted = call(lambda value: value)
        torch.random.set_rng_state(seed)
        got = call(lambda value: device.put(value) if isinstance(value, Tensor) else value.to(device.device))
        torch.testing.assert_close(tree_leaves(near(got)), tree_leaves(wanted))


def problem(*space: int) -> tuple[Tensor, Tensor]:
    unary = 2 * torch.randn(2, 3, *(space or (6, 7)))
    return unary.requires_grad_(), (255 * torch.rand(2, 3, *unary.shape[2:])).requires_grad_()


LAYERS: list[dict[str, Any]] = [
    {"min_belief": 0.05, "message_tolerance": 0.01},
    {"learn_bandwidths": True, "kernel_weights": "matrix"},
    {"damping": "auto", "normalization": "symmetric"},
    {"damping": 0.2, "gradient": "implicit", "num_iterations": 20},
    {"solver": "frank_wolfe", "step": "standard"},
    {"solver": "frank_wolfe", "step": "line_search", "regularizer": "entropy"},
]


@pytest.mark.parametrize("options", LAYERS, ids=str)
def test_options_of_the_layer(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With gradients, which some options have no effect beside, and without; iteration by iteration, and looking back."""

    def call(put: Put) -> Any:
        torch.manual_seed(0)
        crf, inputs = put(CRFRNN(3, KERNELS, **{"num_iterations": 2, **options})), [put(each) for each in problem()]
        logits = crf(*inputs)
        learned = [parameter for parameter in crf.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(logits.tanh().sum(), [*inputs, *learned], allow_unused=True)
        with torch.no_grad():
            alone, settled = crf(*inputs), crf(*inputs, tolerance=0.01)
            energies = [state.free_energy() for state in crf.iterate(*inputs, num_iterations=1)]
            left = residual(crf, alone, *inputs)
        return logits.detach(), gradients, alone, settled, energies, left

    there(call, monkeypatch)


@pytest.mark.parametrize("space", [(11,), (4, 5), (2, 3, 4)], ids=str)
def test_signals_images_and_volumes(space: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = [*KERNELS, feature_kernel("depth", 20.0, 0.5)]

    def call(put: Put) -> Any:
        torch.manual_seed(0)
        unary, image = (put(each.detach()) for each in problem(*space))
        crf, exact = (put(CRFRNN(3, kernels, 2, filter=filter)) for filter in ("lattice", "exact"))
        given = {"features": {"depth": image[:, :1]}, "spacing": (1.5, 1.0, 2.0)[: len(space)]}
        neighbors = put(CRFRNN(3, [grid_kernel(2 * len(space))], 2))
        return crf(unary, image, **given), exact(unary, image, **given), neighbors(unary, image)

    there(call, monkeypatch)


def test_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    def call(put: Put) -> Any:
        torch.manual_seed(0)
        values, features = put(torch.randn(2, 9, 2)), put(torch.randn(2, 9, 3))
        lattice = Lattice.build(features, dilate=True)
        hashed = Lattice.build(put(50 * torch.randn(1, 9, 15)))  # coordinates beyond 63 bits
        filtered = permutohedral_filter(values, features), exact_gaussian_filter(values, features)
        return filtered, lattice.filter(values), lattice.row_sums(), lattice.diagonal(), hashed.row_sums()

    there(call, monkeypatch)


def test_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    def call(put: Put) -> Any:
        torch.manual_seed(0)
        unary, image = (put(each) for each in problem())
        beliefs, mask, labels = unary.softmax(1), put(torch.rand(2, 6, 7) > 0.2), put(torch.randint(3, (2, 6, 7)))
        thetas = [put(torch.tensor([2.0])), put(torch.tensor([5.0, 60.0]))]
        losses = [
            dense_crf_loss(beliefs, image, KERNELS, mask, bandwidths=thetas),
            dense_crf_loss(beliefs, image, KERNELS, filter="exact"),
            normalized_cut_loss(beliefs, image, KERNELS, mask),
            windowed_crf_loss(beliefs, image, KERNELS, mask, radius=2),
            rloss(beliefs, image, scale=0.5, mask=mask),
            energy_gated_loss(beliefs, image, labels),
        ]
        return [loss.detach() for loss in losses], torch.autograd.grad(torch.stack(losses).sum(), [unary, image])

    there(call, monkeypatch)


def test_refining(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what comes in float64, from NumPy."""
    photo, volume = np.random.default_rng(0).random((6, 7, 3)), torch.rand(3, 4, 5)

    def call(put: Put) -> Any:
        device = put(torch.empty(0)).device
        mask, many = put(torch.linspace(0, 1, 42).view(6, 7)), put(torch.eye(3)[torch.arange(42) % 3].view(6, 7, 3))
        found = [
            crfrnn.refine(photo, mask),
            crfrnn.refine([photo, photo], [many, many]),
            crfrnn.refine(put(volume), put(volume), spacing=(3, 1, 1)),
        ]
        whole = [
            crfrnn.refine(photo, photo[..., 0], device=device),
            crfrnn.refine(volume.double(), volume.double(), device=device, spacing=(1, 1, 1)),
        ]
        return found, [put(torch.as_tensor(each, dtype=torch.float32)) for each in whole]

    there(call, monkeypatch)


def test_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls of pydensecrf over points with features; they return arrays."""
    features, energy = np.random.default_rng(0).random((2, 9)), np.random.default_rng(1).random((3, 9), np.float32)

    def call(put: Put) -> Any:
        crf = DenseCRF(9, 3, device=put(torch.empty(0)).device)
        crf.setUnaryEnergy(energy)
        crf.addPairwiseEnergy(features.astype(np.float32), compat=3)
        return put(torch.from_numpy(np.array(crf.inference(3))))

    there(call, monkeypatch)


def test_weak_annotations(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [LabeledBox(1, 0, 0, 12, 12), LabeledBox(2, 3, 2, 15, 14)]

    def call(put: Put) -> Any:
        torch.manual_seed(0)
        scores, labels = put(torch.randn(2, 3, 16, 17)), put(torch.randint(3, (2, 16, 17)))
        order = put(torch.rand(2, 2, 3))
        present = annotated_labels(labels, 3)
        image = put(255 * torch.rand(3, 16, 17))
        return (
            em_fixed(scores, present),
            em_fixed(scores, box_labels(labels, 3)),
            em_adapt(scores, present, order=order, rounds=2),
            adapted_scores(scores, present, order=order, rounds=2),
            mil_peaks(scores, present),
            put(seg_targets(image, boxes)),
        )

    there(call, monkeypatch)


def test_an_order_of_any_type_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float64 that float32 does not tell apart, on the CPU beside scores elsewhere."""
    order = 1 + torch.tensor([[[0, 2, 1]], [[0, 1, 2]]], dtype=torch.float64) * 1e-12

    def call(put: Put) -> Any:
        torch.manual_seed(0)
        scores = put(torch.randn(2, 3, 5, 6))
        return adapted_scores(scores, put(torch.ones(2, 3, dtype=torch.bool)), rounds=1, order=order)

    there(call, monkeypatch)


def crf() -> CRFRNN:
    return CRFRNN(3, KERNELS, 2)


def test_a_model_an_evaluation_and_a_step_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def call(put: Put) -> Any:
        torch.manual_seed(0)
        model = build_model(num_labels=3, width=0.02, dropout=0.0, crf=crf())
        image, batch = 255 * torch.rand(1, 3, 17, 25), batch_of_three()
        model, own = put(model), put(crf())
        logits = infer(model.eval(), put(image))
        scores = evaluate(model, Photos(), [network_alone(), with_crf(own, {0: "T=0", 2: "T=2"})])
        sums, gradients = training_step(model, [put(each) for each in batch])
        torch.optim.SGD(model.parameters(), 0.01, momentum=0.9).step()
        return logits, [each.mean_iou for each in scores.values()], sums, gradients, list(model.state_dict().values())

    there(call, monkeypatch)
