"""CRF-RNN's published weights: under either sign convention the beliefs are those its authors' code computes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel
from crfrnn.lattice import Lattice
from crfrnn.nets import build_model, infer, model_from_checkpoint, save_checkpoint
from crfrnn.nets.bgr import CRFOnBGR
from crfrnn.nets.weights.conversion import convert
from crfrnn.nets.weights.crfasrnn import PAIR_TERM, pair_term
from tests.caffe_bytes import net
from tests.dense_meanfield import dense_features, dense_kernel

WIDTH, LABELS = 1 / 16, 3
FCN8S = {"score_fr": "score-fr", "score_pool4": "score-pool4", "score_pool3": "score-pool3"}
FCN8S |= {"upscore2": "score2", "upscore_pool4": "score4", "upscore8": "upsample"}


def published(
    unary: Tensor, image: Tensor, spatial: Tensor, bilateral: Tensor, compatibility: Tensor, sign: int
) -> Tensor:
    """Beliefs [L, H, W]: x = U + sign * compatibility (W_s S + W_b B), ten times, filters divided by the filtered ones."""
    labels, height, width = unary.shape
    scores = unary.reshape(labels, -1)
    kernels = [dense_kernel(dense_features(image, 3.0)), dense_kernel(dense_features(image, 160.0, 3.0))]
    smooth, similar = (kernel / kernel.sum(1, keepdim=True) for kernel in kernels)
    x = scores
    for _ in range(10):
        beliefs = torch.softmax(x, 0)
        x = scores + sign * compatibility @ (spatial @ (beliefs @ smooth.T) + bilateral @ (beliefs @ similar.T))
    return torch.softmax(x, 0).reshape(labels, height, width)


@pytest.fixture(name="matrices")
def _matrices() -> list[Tensor]:
    """As if trained: not symmetric, nowhere zero, no two rows alike. The compatibility is around +I."""
    return [scale * (torch.eye(LABELS) + 0.3 * torch.randn(LABELS, LABELS)) for scale in (1.5, 2.5, 1.0)]


@pytest.fixture(name="state")
def _state(matrices: list[Tensor]) -> dict[str, Tensor]:
    """A narrow `crfasrnn_weights.pth`."""
    network = build_model("fcn-8s", LABELS, width=WIDTH).network
    state = {name: 0.1 * torch.randn_like(tensor) for name, tensor in network.state_dict().items()}
    return state | dict(zip(PAIR_TERM, matrices, strict=True))


def check_beliefs(crf: CRFRNN, matrices: list[Tensor], sign: int) -> None:
    crf.filter = "exact"
    unary, image = torch.randn(LABELS, 5, 6), 255 * torch.rand(3, 5, 6)
    image[:, :, 3:] = image[:, :1, :1] + torch.randn(3, 5, 3)  # a flat half, where the appearance kernel reaches far
    beliefs = crf(unary[None], image[None])[0].softmax(0)
    assert (beliefs - unary.softmax(0)).abs().max() > 0.1
    torch.testing.assert_close(beliefs, published(unary, image, *matrices, sign), rtol=1e-4, atol=1e-5)


def test_pytorch_file(tmp_path: Path, state: dict[str, Tensor], matrices: list[Tensor]) -> None:
    torch.save(state, tmp_path / "crfasrnn_weights.pth")
    result = convert(tmp_path / "crfasrnn_weights.pth", width=WIDTH)
    assert result.architecture["name"] == "fcn-8s"
    assert result.architecture["num_labels"] == LABELS
    check_beliefs(result.model.crf, matrices, sign=1)
    first = result.model.network.conv1_1
    rgb = 255 * torch.rand(1, 3, 4, 5)
    bgr = rgb.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    theirs = torch.nn.functional.conv2d(bgr, state["conv1_1.weight"], state["conv1_1.bias"])
    ours = torch.nn.functional.conv2d(rgb - result.model.network.mean, first.weight, first.bias)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
    for name, tensor in result.model.network.state_dict().items():
        assert name.startswith("conv1_1") or torch.equal(tensor, state[name])


def caffe_layers(state: dict[str, Tensor], matrices: list[Tensor]) -> dict[str, list[np.ndarray]]:
    """The same in Caffe's names and signs."""
    spatial, bilateral, compatibility = matrices
    layers: dict[str, list[np.ndarray]] = {}
    for name, tensor in state.items():
        if name not in PAIR_TERM:
            layer = name.split(".")[0]
            layers.setdefault(FCN8S.get(layer, layer), []).append(tensor.numpy())
    layers["inference1"] = [each.numpy()[None, None] for each in (spatial, bilateral, -compatibility)]
    return layers


def test_caffe_file(tmp_path: Path, state: dict[str, Tensor], matrices: list[Tensor]) -> None:
    spatial, bilateral, compatibility = matrices
    layers = caffe_layers(state, matrices)
    (tmp_path / "tvg.caffemodel").write_bytes(net(layers, old=False))
    result = convert(tmp_path / "tvg.caffemodel", width=WIDTH)
    assert result.architecture["name"] == "fcn-8s"
    check_beliefs(result.model.crf, [spatial, bilateral, -compatibility], sign=-1)
    assert torch.equal(result.model.network.conv1_1.weight, state["conv1_1.weight"].flip(1))
    for name, tensor in result.model.network.state_dict().items():
        assert name == "conv1_1.weight" or torch.equal(tensor, state[name])


def test_both_start_as_our_crf_does() -> None:
    start, matrix = CRFRNN(LABELS, kernel_weights="matrix").cell, torch.eye(LABELS)
    for sign, convention in ((1, "pytorch"), (-1, "caffe")):
        tensors = dict(zip(PAIR_TERM, (3 * matrix, 5 * matrix, sign * matrix), strict=True))
        weights, compatibility = pair_term(tensors, convention)
        assert torch.equal(weights.tensor, start.kernel_weights)
        assert torch.equal(compatibility.tensor, start.compatibility)


def test_without_its_crf(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "a.pth")
    result = convert(tmp_path / "a.pth", width=WIDTH, accept_left_over=["crfrnn"])
    assert result.model.crf is None
    assert [row[3] for row in result.table if row[0].startswith("crfrnn")] == ["left out"] * 3


def test_other_labels_keep_the_trunk(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "a.pth")
    result = convert(tmp_path / "a.pth", num_labels=5, width=WIDTH)
    for name, tensor in result.model.network.state_dict().items():
        kept = not name.startswith(("score", "upscore"))
        assert not kept or name.startswith("conv1_1") or torch.equal(tensor, state[name])
        assert kept or 5 in tensor.shape
    assert torch.equal(result.model.crf.cell.compatibility, 1 - torch.eye(5))
    note = next(note for note in result.notes if note.startswith("reinitialized for 5 labels"))
    assert "network.score_fr.weight" in note
    assert "crf.cell.kernel_weights" in note


def test_damaged_matrices_are_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state | {PAIR_TERM[1]: torch.zeros(3, 4)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"bilateral_ker_weights': \[3, 4\].*three matrices of one size"):
        convert(tmp_path / "a.pth", width=WIDTH)


def test_a_pair_term_that_is_not_whole_is_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save({name: tensor for name, tensor in state.items() if name != PAIR_TERM[2]}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"the pair term lacks crfrnn\.compatibility_matrix; wanted a whole"):
        convert(tmp_path / "a.pth", width=WIDTH)


def lattice_beliefs(unary: Tensor, guide: Tensor, matrices: list[Tensor], sign: int) -> Tensor:
    """As `published`, on the lattice, for a guide [3, H, W] in the colors that the published code looks at."""
    labels, height, width = unary.shape
    scores = unary.reshape(labels, -1).T
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([x.flatten(), y.flatten()], 1).float()
    spatial, bilateral, compatibility = matrices
    lattices = [Lattice.build(f[None]) for f in (place / 3, torch.cat([place / 160, guide.flatten(1).T / 3], 1))]
    logits = scores
    for _ in range(10):
        beliefs = logits.softmax(1)[None]
        smooth, similar = (lattice.filter(beliefs)[0] / lattice.row_sums()[0, :, None] for lattice in lattices)
        logits = scores + sign * (smooth @ spatial.T + similar @ bilateral.T) @ compatibility.T
    return logits.softmax(1).T.reshape(labels, height, width)


@pytest.mark.parametrize(
    ("file", "mean"), [("pytorch", [103.939, 116.779, 123.68]), ("caffe", [104.008, 116.669, 122.675])]
)
def test_the_whole_looks_at_colors_as_the_original_does(
    tmp_path: Path, state: dict[str, Tensor], matrices: list[Tensor], file: str, mean: list[float]
) -> None:
    torch.save(state, tmp_path / "a.pth")
    (tmp_path / "a.caffemodel").write_bytes(net(caffe_layers(state, matrices), old=False))
    converted = convert(tmp_path / {"pytorch": "a.pth", "caffe": "a.caffemodel"}[file], width=WIDTH)
    save_checkpoint(tmp_path / "a.pt", converted.model, architecture=converted.architecture, classes=converted.classes)
    model, _ = model_from_checkpoint(tmp_path / "a.pt")
    image = (128 + 4 * torch.randn(1, 3, 30, 40)).round()
    bgr = image[0, [2, 1, 0]] - torch.tensor(mean)[:, None, None]
    with torch.no_grad():
        wanted = lattice_beliefs(model.unary(image)[0], bgr, matrices, sign=1)
        on_rgb = lattice_beliefs(model.unary(image)[0], image[0], matrices, sign=1)
        beliefs = model(image)[0].softmax(0)
        last = list(model.crf.iterate(model.unary(image), image))[-1].beliefs[0]
    assert (on_rgb - wanted).abs().max() > 1e-4
    torch.testing.assert_close(beliefs, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(last, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(infer(model, image)[0].softmax(0), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("axes", [1, 3])
def test_a_crf_on_bgr_takes_signals_and_volumes(axes: int) -> None:
    """Against a CRF on the BGR image itself; theta_beta differs between channels, so that their order counts."""
    kernels = [appearance_kernel(5.0, (10.0, 20.0, 60.0), 2.0)]
    unary, image = torch.randn(1, 2, *[4, 5, 6][:axes]), 255 * torch.rand(1, 3, *[4, 5, 6][:axes])
    mean = torch.tensor([100.0, 110.0, 120.0]).view(3, *[1] * axes)
    wanted = CRFRNN(2, kernels)(unary, image.flip(1) - mean)
    found = CRFOnBGR(num_labels=2, kernels=kernels, mean_bgr=[100, 110, 120])(unary, image)
    torch.testing.assert_close(found, wanted)


def test_a_crf_on_bgr_refuses_other_channels() -> None:
    crf = CRFOnBGR(num_labels=2, mean_bgr=[100, 110, 120])
    with pytest.raises(ValueError, match=r"image has shape \[1, 1, 3, 4\]; wanted RGB"):
        crf(torch.zeros(1, 2, 3, 4), torch.zeros(1, 1, 3, 4))
    with pytest.raises(TypeError, match="image is torch"):
        crf(torch.zeros(1, 2, 3, 4), torch.zeros(1, 3, 3, 4, dtype=torch.uint8))
