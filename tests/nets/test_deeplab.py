"""DeepLab: what the atrous algorithm promises, the multi-scale branches, and which parameters learn."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crfrnn.nets import NETWORKS, build_model, receptive_field
from crfrnn.nets.deeplab import BRANCHES

NARROW = 0.01


def lively(network: nn.Module) -> nn.Module:
    """`network` in float64 with score layers that are neither zero nor tiny."""
    for name in network.label_layers:
        for parameter in network.get_submodule(name).parameters():
            if parameter.requires_grad or "score" not in name:
                nn.init.normal_(parameter, std=0.5)
    return network.double().eval()


def photo(height: int, width: int) -> Tensor:
    return 255 * torch.rand(1, 3, height, width, dtype=torch.float64)


def interior(network: nn.Module, size: int) -> tuple[int, int]:
    """First and last pixel of a grid of 8 that no border reaches, with up to 24 pixels cut off at the top and the left."""
    half = receptive_field(network, windows="actual") // 2 + 8
    return -(-(half + 24) // 8) * 8, (size - half) // 8 * 8


@pytest.mark.parametrize(("name", "coarse", "size"), [("deeplab", 32, 402), ("deeplab-largefov", 16, 521)])
@torch.no_grad()
def test_dense_scores_are_sparse_ones_at_every_shift(name: str, coarse: int, size: int) -> None:
    dense = lively(build_model(name, 2, width=NARROW, output_stride=8).network)
    sparse = build_model(name, 2, width=NARROW, output_stride=coarse).network.double().eval()
    sparse.load_state_dict(dense.state_dict())
    image = photo(size, size)
    first, last = interior(dense, size)
    wanted = range(first, last + 1, 8)
    assert len(wanted) >= 4

    def at_pixels(network: nn.Module, dy: int, dx: int) -> dict[tuple[int, int], Tensor]:
        scores = network(image[..., dy:, dx:])[0]
        step, origin = network.output_stride, network.origin
        rows = {dy + origin + step * i: i for i in range(scores.shape[1])}
        columns = {dx + origin + step * j: j for j in range(scores.shape[2])}
        return {(y, x): scores[:, i, j] for y, i in rows.items() for x, j in columns.items()}

    found: dict[tuple[int, int], Tensor] = {}
    for dy in range(0, coarse, 8):
        for dx in range(0, coarse, 8):
            found |= at_pixels(sparse, dy, dx)
    reference = at_pixels(dense, 0, 0)
    start = first + dense.origin % 8
    places = [(y, x) for y in range(start, last, 8) for x in range(start, last, 8)]
    a, b = torch.stack([found[place] for place in places]), torch.stack([reference[place] for place in places])
    assert b.std(0).min() > 1e-3
    torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["deeplab-largefov", "deeplab-7x7"])
@torch.no_grad()
def test_a_window_slid_over_the_image_gives_the_same_center_scores(name: str) -> None:
    network = lively(build_model(name, 2, width=NARROW).network)
    image = photo(457, 465)
    scores = network(image)
    half = 224
    for y, x in [(224, 232), (232, 240)]:
        patch = image[..., y - half : y + half + 1, x - half : x + half + 1]
        torch.testing.assert_close(
            network(patch)[..., half // 8, half // 8], scores[..., y // 8, x // 8], rtol=0, atol=1e-9
        )


def test_smaller_dilation_at_coarser_stride() -> None:
    dilations = {
        s: build_model("deeplab-4x4", 2, width=NARROW, output_stride=s).network.fc6.dilation for s in (8, 16, 32)
    }
    assert dilations == {8: (8, 8), 16: (4, 4), 32: (2, 2)}


@pytest.mark.parametrize("name", ["deeplab-msc", "deeplab-msc-largefov"])
def test_branches_without_strides_agree_with_strided_ones(name: str) -> None:
    network = lively(build_model(name, 3, width=NARROW, dropout=0.0).network)
    image = photo(49, 65)
    full = network(image)
    assert full.shape == (1, 3, 49, 65)
    coarse = network.train()(image)
    assert coarse.shape == (1, 3, 7, 9)
    assert coarse.std() > 1e-2
    torch.testing.assert_close(full[..., ::8, ::8], coarse, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("branch", "factor"), list(zip([*BRANCHES, "fc8"], [1, 2, 4, 8, 8, 8], strict=True)))
def test_each_branch_is_added_at_full_resolution(branch: str, factor: int) -> None:
    network = lively(build_model("deeplab-msc", 3, width=NARROW).network)
    score = branch if branch == "fc8" else f"{branch}_ms"
    for name in network.label_layers:
        if name != score:
            nn.init.zeros_(network.get_submodule(name).weight)
            nn.init.zeros_(network.get_submodule(name).bias)
    image = photo(33, 41)
    x = network.features(image, keep=BRANCHES)["fc7" if branch == "fc8" else branch]
    if branch != "fc8":
        for part, padding in (("conv", 1), ("fc", 0)):
            layer = network.get_submodule(f"{branch}_{part}")
            x = F.conv2d(x, layer.weight, layer.bias, stride=1, padding=padding).relu()
    x = network.get_submodule(score)(x)
    assert x.shape[2:] == (32 // factor + 1, 40 // factor + 1)
    torch.testing.assert_close(network(image), F.interpolate(x, size=(33, 41), mode="bilinear", align_corners=True))


def test_branches_say_which_sizes_they_train_at() -> None:
    with pytest.raises(ValueError, match=r"33 x 40.* 8 k \+ 1"):
        build_model("deeplab-msc", 3, width=NARROW).network(torch.zeros(1, 3, 33, 40))


def test_initialization_of_the_branches() -> None:
    network = build_model("deeplab-msc", width=0.25).network
    deviations = {
        name: round(float(network.get_submodule(name).weight.detach().std()), 4)
        for name in ("data_conv", "pool4_conv", "pool3_fc", "pool4_fc", "pool3_ms", "pool4_ms", "fc8")
    }
    wanted = {"data_conv": 0.001, "pool4_conv": 0.001, "pool3_fc": 0.001, "pool4_fc": 0.005, "pool3_ms": 0.0}
    assert deviations == pytest.approx({**wanted, "pool4_ms": 0.01, "fc8": 0.01}, rel=0.05, abs=1e-4)


def test_the_mean_color_is_subtracted_inside() -> None:
    network = build_model("deeplab-largefov", 3, width=NARROW).network.eval()
    mean = torch.tensor([122.675, 116.669, 104.008]).view(1, 3, 1, 1).expand(1, 3, 17, 17)
    with torch.no_grad():
        network.fc8.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    # Biases are zero and nothing else comes in, so that only the last bias comes out.
    torch.testing.assert_close(network(mean)[0, :, 1, 1], torch.tensor([1.0, 2.0, 3.0]))


FROZEN = {
    "deeplab-msc": {"conv", "fc6", "fc7"},
    "deeplab-msc-largefov": {"conv", "fc6", "fc7", "fc8"},
    **{name: {"upscore"} for name in NETWORKS if name.startswith("fcn")},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_reaches_what_learns_and_frozen_layers_stay(name: str) -> None:
    network = lively(build_model(name, 3, width=0.05, dropout=0.0).network).train()
    frozen = {n for n, _ in network.named_parameters() if any(n.startswith(part) for part in FROZEN.get(name, ()))}
    assert {n for n, parameter in network.named_parameters() if not parameter.requires_grad} == frozen
    before = {n: parameter.detach().clone() for n, parameter in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    network(photo(65, 73)).square().mean().backward()
    silent = [n for n, p in network.named_parameters() if n not in frozen and (p.grad is None or not p.grad.any())]
    assert silent == []
    optimizer.step()
    changed = {n for n, parameter in network.named_parameters() if not torch.equal(parameter, before[n])}
    assert changed == set(before) - frozen
