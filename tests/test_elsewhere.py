"""On a device that is not the CPU, nothing is left behind, nothing comes over unasked, and the host rarely waits."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import crfrnn
from crfrnn import CRFRNN, appearance_kernel, feature_kernel, grid_kernel, native, smoothness_kernel
from crfrnn.densecrf import DenseCRF2D
from crfrnn.lattice import Lattice, fallback
from crfrnn.nets import build_model, infer
from eval.scoring.evaluate import evaluate
from eval.scoring.methods import network_alone, with_crf
from tests.elsewhere import MISSING, Elsewhere, FarTensor, elsewhere, near
from tests.small_training import Photos, batch_of_three, training_step


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    """The device; what the CPU computes to compare with is in plain torch, too."""
    monkeypatch.setenv("CRFRNN_GPU", "torch")
    with native.disabled(), elsewhere(monkeypatch) as device:
        yield device


def problem() -> tuple[Tensor, Tensor]:
    return 2 * torch.randn(2, 3, 6, 7), 255 * torch.rand(2, 3, 6, 7)


def test_the_device_refuses_what_a_gpu_would(there: Elsewhere) -> None:
    far = there.put(torch.ones(3))
    with pytest.raises(AssertionError, match="mixes tensors on cuda:0 and on the CPU"):
        far + torch.ones(3)
    assert type(torch.zeros_like(far)) is type(torch.arange(3, device=far.device)) is FarTensor
    assert not there.waits
    assert type(torch.ones(3).to(far.device)) is type(torch.tensor([1.0], device=far.device)) is FarTensor
    assert there.waits.pop("copy") == 2
    assert (far.sum().item(), far.tolist(), type(far.cpu())) == (3.0, [1.0, 1.0, 1.0], Tensor)
    assert far[far > 0].sum()
    assert there.waits == {"item": 2, "transfer": 2, "mask": 1}


# Once for each of: the unary, what guides it, the slips of a caller, a bandwidth of a kernel over positions alone, which
# names its lattice; twice for the lattice of an image; three times for a dilated one.
INPUTS, SLIPS, POSITIONS, LATTICE = 2, 1, 1, 2
OPTIONS: list[tuple[dict[str, Any], int]] = [
    ({}, POSITIONS + LATTICE),
    ({"normalization": "symmetric", "kernel_weights": "diagonal"}, POSITIONS + LATTICE),
    ({"normalization": "before", "kernel_weights": "matrix"}, POSITIONS + LATTICE),
    ({"normalization": "none", "exclude_self": True}, POSITIONS + LATTICE),
    ({"learn_bandwidths": True}, 2 * LATTICE),
    ({"min_belief": 0.01}, POSITIONS + LATTICE),
    ({"dilate": True}, POSITIONS + LATTICE + 1),
    ({"filter": "exact", "exclude_self": True}, 2),
    ({"kernels": [grid_kernel()]}, 1),
    ({"kernels": [smoothness_kernel(), appearance_kernel(5, 20), appearance_kernel(9, 60)]}, POSITIONS + 2 * LATTICE),
]


@pytest.mark.parametrize(("options", "waits"), OPTIONS, ids=str)
def test_a_layer_computes_there(options: dict[str, Any], waits: int, there: Elsewhere) -> None:
    """To the last bit what the CPU computes, forward and backward, which does not wait at all."""
    crf, inputs = CRFRNN(3, **options), [each.requires_grad_() for each in problem()]
    wanted = crf(*inputs)
    wanted.tanh().sum().backward()
    gradients = [each.grad for each in (*inputs, *crf.parameters())]
    crf.zero_grad()
    crf, far = crf.to(there.device), [there.put(each) for each in inputs]
    crf(*far)  # keeps the lattice of the positions
    there.waits.clear()
    got = crf(*far)
    assert sum(there.waits.values()) <= INPUTS + SLIPS + waits, there.waits
    there.waits.clear()
    got.tanh().sum().backward()
    assert not there.waits
    assert torch.equal(near(got), wanted)
    for each, expected in zip((*far, *crf.parameters()), gradients, strict=True):
        assert (each.grad is None) == (expected is None)
        if expected is not None:
            torch.testing.assert_close(near(each.grad), expected)


@pytest.mark.parametrize(
    "options", [{}, {"normalization": "symmetric", "exclude_self": True, "dilate": True}, {"filter": "exact"}], ids=str
)
def test_a_layer_computes_on_mps(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Which has no float64; nor, here, some of the operations, for which the CPU stands in after one warning."""
    monkeypatch.setattr(fallback, "_incomplete", set())
    crf, inputs = CRFRNN(3, **options), [each.requires_grad_() for each in problem()]
    with native.disabled(), elsewhere(monkeypatch, kind="mps", wide=False, lacks=MISSING) as there:
        wanted = crf(*inputs)
        gradients = torch.autograd.grad(wanted.tanh().sum(), inputs)
        crf, far = crf.to(there.device), [there.put(each) for each in inputs]
        with pytest.warns(UserWarning, match=r"torch .* has no aten::\w+ on mps; it is computed on the CPU") as warned:
            got = crf(*far)
        slopes = torch.autograd.grad(got.tanh().sum(), far)
        assert len(warned) == 1
        torch.testing.assert_close(near(got), wanted)
        torch.testing.assert_close(near(slopes), gradients)


def test_the_drop_in_computes_on_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    energy = torch.rand(3, 42)
    with native.disabled(), elsewhere(monkeypatch, kind="mps", wide=False) as there:
        wanted, got = (drop_in(energy, device) for device in (torch.device("cpu"), there.device))
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_layer_with_features_and_a_tolerance(there: Elsewhere) -> None:
    """Its beliefs are looked at once an iteration."""
    unary, image = problem()
    kernels = [appearance_kernel(5, 20), feature_kernel("depth", 2.0, 1.0)]
    crf = CRFRNN(3, kernels, compatibility=torch.rand(3, 3))
    wanted = crf(unary, image, tolerance=0.0, features={"depth": image[:, :1]})
    crf.to(there.device)
    there.waits.clear()
    far = there.put(image)
    got = crf(there.put(unary), far, tolerance=0.0, features={"depth": far[:, :1]})
    assert sum(there.waits.values()) <= INPUTS + 1 + SLIPS + 2 * LATTICE + crf.num_iterations + 1
    assert torch.equal(near(got), wanted)
    for state in crf.iterate(there.put(unary), far, features={"depth": far[:, :1]}):
        assert all(isinstance(each, FarTensor) for each in (state.logits, state.beliefs, state.free_energy()))


def test_building_a_lattice_waits_twice(there: Elsewhere) -> None:
    lattice = Lattice.build(there.put(torch.randn(2, 50, 5)))
    assert there.waits == {"transfer": 1, "nonzero": 1}
    lattice.row_sums(), lattice.diagonal()
    assert sum(there.waits.values()) == 2
    lattice.filter(there.put(torch.randn(2, 50, 4)))
    assert there.waits["item"] == 1  # whether the values are finite


def test_wrong_features_are_refused_there_too(there: Elsewhere) -> None:
    with pytest.raises(ValueError, match="features contain NaN or infinite entries"):
        Lattice.build(there.put(torch.tensor([[[0.0], [torch.nan]]])))
    with pytest.raises(ValueError, match=r"feature axis 1 spans 1e\+12"):
        Lattice.build(there.put(torch.tensor([[[0.0, 0.0], [0.0, 1e12]]])))


def drop_in(energy: Tensor, device: torch.device) -> list[Tensor]:
    """What the calls of pydensecrf give: they take arrays and return them."""
    image = (40 * torch.arange(126).view(6, 7, 3) % 251).byte().numpy()
    crf = DenseCRF2D(7, 6, 3, device=device)
    crf.setUnaryEnergy(energy.numpy())
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=(20, 21), srgb=13, rgbim=image, compat=(1 - torch.eye(3)).numpy())
    beliefs = torch.from_numpy(crf.inference(4))
    stepped = crf.startInference()[0]
    crf.stepInference(stepped)
    return [beliefs, torch.from_numpy(stepped), torch.tensor(crf.klDivergence(stepped))]


def test_the_drop_in_computes_there(there: Elsewhere) -> None:
    energy = torch.rand(3, 42)
    for got, wanted in zip(drop_in(energy, there.device), drop_in(energy, torch.device("cpu")), strict=True):
        torch.testing.assert_close(got, wanted)


def test_masks_are_refined_there(there: Elsewhere) -> None:
    """And come back to where they were."""
    photo, mask = (255 * torch.rand(6, 7, 3)).byte(), torch.rand(6, 7)
    wanted = crfrnn.refine(photo, mask)
    assert torch.equal(crfrnn.refine(photo, mask, device=there.device), wanted)
    assert torch.equal(near(crfrnn.refine(photo, there.put(mask))), wanted)
    assert torch.equal(near(crfrnn.refine(there.put(photo), there.put(mask))), wanted)


def crf() -> CRFRNN:
    return CRFRNN(3, [smoothness_kernel(2, 0.5), appearance_kernel(5, 60, 0.5)], 2)


def test_a_model_computes_there(there: Elsewhere) -> None:
    model = build_model(num_labels=3, width=0.02, dropout=0.0, crf=crf()).eval()
    image = 255 * torch.rand(1, 3, 17, 25)
    wanted = infer(model, image)
    got = infer(model.to(there.device), there.put(image))
    torch.testing.assert_close(near(got), wanted)


def test_a_set_is_evaluated_there(there: Elsewhere) -> None:
    """Only labels come back."""
    model, own = build_model(num_labels=3, width=0.02, crf=None), crf()
    methods = [network_alone(), with_crf(own, {0: "T=0", 1: "T=1", 2: "T=2"})]
    wanted = evaluate(model, Photos(), methods)  # type: ignore[arg-type]
    model.to(there.device), own.to(there.device)
    assert evaluate(model, Photos(), methods) == wanted  # type: ignore[arg-type]


def test_a_training_step_runs_there(there: Elsewhere) -> None:
    model = build_model(num_labels=3, width=0.02, dropout=0.0, crf=crf())
    batch = batch_of_three()
    wanted = training_step(model, batch)
    model.to(there.device)
    got = training_step(model, [there.put(each) for each in batch])
    torch.testing.assert_close(near(got.sums), wanted.sums)
    torch.testing.assert_close(near(got.gradients), wanted.gradients)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    optimizer.step()
    assert all(isinstance(each, FarTensor) for each in model.state_dict().values())
