"""FCN: sizes and crops against the geometry of the layers, and the stages 32s -> 16s -> 8s."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crfrnn.nets import build_model, start_from
from crfrnn.nets.layers import origin

NARROW = 0.01
NAMES = ["fcn-32s", "fcn-16s", "fcn-8s", "fcn-8s-at-once"]


def network(name: str, num_labels: int = 2) -> nn.Module:
    return build_model(name, num_labels, width=NARROW).network.double().eval()


def scores_filled(net: nn.Module) -> nn.Module:
    for name in net.label_layers:
        if name.startswith("score"):
            nn.init.normal_(net.get_submodule(name).weight, std=0.5)
    return net


def test_sizes_of_a_500_x_500_image() -> None:
    net = network("fcn-8s").float()
    sizes: dict[str, int] = {}
    for name in ("conv1_1", "fc6", "score_fr", "upscore2", "upscore_pool4", "upscore8"):
        net.get_submodule(name).register_forward_hook(lambda m, x, y, name=name: sizes.update({name: y.shape[-1]}))
    assert net(torch.zeros(1, 3, 500, 500)).shape == (1, 2, 500, 500)
    wanted = {"conv1_1": 698, "fc6": 16, "score_fr": 16, "upscore2": 34, "upscore_pool4": 70, "upscore8": 568}
    assert sizes == wanted


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 33), (32, 65), (100, 31)])
def test_scores_have_the_size_of_the_image(name: str, height: int, width: int) -> None:
    assert network(name).float()(torch.zeros(2, 3, height, width)).shape == (2, 2, height, width)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("fcn-32s", "fc7"),
        ("fcn-16s", "fc7"),
        ("fcn-16s", "pool4"),
        ("fcn-8s", "fc7"),
        ("fcn-8s", "pool4"),
        ("fcn-8s", "pool3"),
    ],
)
def test_crops_align_every_map_with_the_image(name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map that holds the pixel each of its cells is centerd on must come out as a ramp over the pixels."""
    net = network(name)
    chain = net.chain(False)
    maps = {}
    for key, cells, step in (("fc7", 10, 32), ("pool4", 32, 16), ("pool3", 63, 8)):
        end = next((i + 1 for i, layer in enumerate(chain) if layer.name == key), len(chain))
        layer = {"fc7": "score_fr"}.get(key, f"score_{key}")
        if not hasattr(net, layer):
            continue
        channels = net.get_submodule(layer).in_channels
        ramp = float(origin(chain[:end])) + step * torch.arange(cells, dtype=torch.float64)
        maps[key] = torch.zeros(1, channels, cells, cells, dtype=torch.float64)
        maps[key][:, 0], maps[key][:, 1] = ramp[:, None], ramp[None]
        if key == source:
            with torch.no_grad():
                net.get_submodule(layer).weight[0, 0] = 1
                net.get_submodule(layer).weight[1, 1] = 1
    monkeypatch.setattr(net, "features", lambda image, keep: maps)
    out = net(torch.zeros(1, 3, 300, 300, dtype=torch.float64))[0]
    pixels = torch.arange(300, dtype=torch.float64)
    middle = slice(60, 200)
    torch.testing.assert_close(out[0, middle, middle], pixels[middle, None].expand(140, 140))
    torch.testing.assert_close(out[1, middle, middle], pixels[None, middle].expand(140, 140))


def test_bilinear_filter_by_hand() -> None:
    quarters = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 4
    layer = network("fcn-16s", 3).upscore2
    torch.testing.assert_close(layer.weight[1, 1], quarters[:, None] * quarters)
    assert not layer.weight[0, 1].any()
    assert not layer.bias.any()


def test_at_once_scales_the_skips() -> None:
    plain, scaled = scores_filled(network("fcn-8s")), network("fcn-8s-at-once")
    scaled.load_state_dict(plain.state_dict())
    with torch.no_grad():
        plain.score_pool4.weight *= 0.01
        plain.score_pool3.weight *= 0.0001
    image = 255 * torch.rand(1, 3, 40, 50, dtype=torch.float64)
    torch.testing.assert_close(scaled(image), plain(image))


def upsampled(scores: Tensor, factor: int, offset: int, size: int) -> Tensor:
    """Bilinear by a transposed convolution, label by label, as the facts of the released files have it."""
    ramp = 1 - (torch.arange(2 * factor, dtype=torch.float64) - (factor - 0.5)).abs() / factor
    filters = (ramp[:, None] * ramp).expand(scores.shape[1], 1, -1, -1)
    out = F.conv_transpose2d(scores, filters, stride=factor, groups=scores.shape[1])
    return out[..., offset : offset + size, offset : offset + size]


def test_a_new_skip_adds_nothing() -> None:
    first = scores_filled(network("fcn-32s"))
    second, third = network("fcn-16s"), network("fcn-8s")
    assert start_from(second, first) == ["score_pool4", "upscore16", "upscore2"]
    image = 255 * torch.rand(1, 3, 64, 64, dtype=torch.float64)
    coarse = first.score_fr(first.features(image)["fc7"])
    twice = upsampled(coarse, 2, 0, 2 * coarse.shape[-1] + 2)
    assert twice.std() > 1e-3
    torch.testing.assert_close(second(image), upsampled(twice, 16, 27, 64))

    nn.init.normal_(second.score_pool4.weight)
    assert start_from(third, second) == ["score_pool3", "upscore8", "upscore_pool4"]
    maps = second.features(image, keep=["pool4"])
    skip = second.score_pool4(maps["pool4"])[..., 5:, 5:]
    fused = upsampled(second.score_fr(maps["fc7"]), 2, 0, 2 * coarse.shape[-1] + 2)
    fused = fused + skip[..., : fused.shape[-2], : fused.shape[-1]]
    four_times = upsampled(fused, 2, 0, 2 * fused.shape[-1] + 2)
    torch.testing.assert_close(third(image), upsampled(four_times, 8, 31, 64))


def test_stages_go_one_way() -> None:
    with pytest.raises(ValueError, match="fcn-32s -> fcn-16s"):
        start_from(network("fcn-32s"), network("fcn-8s"))
    with pytest.raises(ValueError, match="msc"):
        start_from(build_model("deeplab", 2, width=NARROW).network, network("fcn-8s"))


def test_msc_starts_from_its_single_scale() -> None:
    single = build_model("deeplab-largefov", 2, width=NARROW).network
    branches = build_model("deeplab-msc-largefov", 2, width=NARROW).network
    new = start_from(branches, single)
    assert len(new) == 15
    assert {name.split("_")[0] for name in new} == {"data", "pool1", "pool2", "pool3", "pool4"}
    assert torch.equal(branches.fc8.weight, single.fc8.weight)
    with pytest.raises(ValueError, match="fc6"):
        start_from(build_model("deeplab-msc", 2, width=NARROW).network, single)
