"""The table of variants against the published numbers: parameters, fields of view, sizes."""

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, smoothness_kernel
from crfrnn.nets import build_model, parameter_count, receptive_field
from crfrnn.nets.layers import output_size
from crfrnn.nets.variants import CONVOLUTIONS, VARIANTS
from crfrnn.nets.vgg import scaled

NARROW = 0.01
TRUNK = 14_714_688  # the 13 convolutions of VGG-16, added up by hand


def published(name: str, **arguments: int) -> torch.nn.Module:
    with torch.device("meta"):
        return build_model(name, **arguments).network


@pytest.mark.parametrize(
    ("name", "taps", "channels", "millions"),
    [
        ("deeplab", 16, 4096, 65.14),
        ("deeplab-7x7", 49, 4096, 134.35),
        ("deeplab-4x4", 16, 4096, 65.14),
        ("deeplab-largefov", 9, 1024, 20.51),
    ],
)
def test_parameters_are_those_of_the_paper(name: str, taps: int, channels: int, millions: float) -> None:
    count = parameter_count(published(name))
    assert count == TRUNK + (512 * taps + 1) * channels + (channels + 1) * channels + (channels + 1) * 21
    assert round(count / 1e6, 2) == millions


def test_parameters_of_the_branches_and_of_fcn() -> None:
    maps = 3 + 64 + 128 + 256 + 512
    branches = maps * 9 * 128 + 5 * 128 + 5 * (129 * 128 + 129 * 21)
    assert parameter_count(published("deeplab-msc")) == parameter_count(published("deeplab")) + branches
    fc = (512 * 49 + 1) * 4096 + 4097 * 4096
    assert parameter_count(published("fcn-32s")) == TRUNK + fc + 4097 * 21 + (21 * 64) ** 2
    skips = 513 * 21 + 257 * 21
    upsampling = 21 * 21 * (4 * 4 + 4 * 4 + 16 * 16) + 21
    assert parameter_count(published("fcn-8s")) == TRUNK + fc + 4097 * 21 + skips + upsampling


@pytest.mark.parametrize(
    ("name", "field", "without_padding"),
    [
        ("deeplab", 308, 128),
        ("deeplab-pool3", 308, 128),
        ("deeplab-7x7", 404, 224),
        ("deeplab-4x4", 404, 224),
        ("deeplab-largefov", 404, 224),
        ("deeplab-msc", 308, 128),
        ("deeplab-msc-largefov", 404, 224),
        ("fcn-8s", 404, 224),
    ],
)
def test_fields_of_view_are_those_of_the_paper(name: str, field: int, without_padding: int) -> None:
    assert receptive_field(published(name)) == field
    assert receptive_field(published(name), padding=False) == without_padding


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_density_leaves_parameters_and_field_alone(stride: int) -> None:
    network = published("deeplab-largefov", output_stride=stride)
    assert parameter_count(network) == parameter_count(published("deeplab-largefov"))
    assert receptive_field(network) == 404
    assert network.output_stride == stride


@pytest.mark.parametrize(("name", "field"), [("deeplab-largefov", 435), ("deeplab-7x7", 419)])
def test_a_score_sees_its_actual_field_and_nothing_beyond(name: str, field: int) -> None:
    network = build_model(name, 2, width=NARROW).network.double().eval()
    for parameter in network.parameters():  # nothing but positive weights, so that nothing cancels or is clipped
        parameter.data.abs_()
    assert receptive_field(network, windows="actual") == field
    assert field % 2 == 1
    half, center = field // 2, 224
    lit = torch.zeros(5, 3, 9, 449, dtype=torch.float64)
    for i, column in enumerate([center - half - 1, center - half, center + half, center + half + 1]):
        lit[i, :, 4, column] = 1e6
    scores = network(lit)[:, 0, :, center // 8].sum(-1)
    assert (scores != scores[4]).tolist() == [False, True, True, False, False]


@pytest.mark.parametrize(
    ("name", "training", "sizes"),
    [
        ("deeplab", True, [306, 154, 78, 40, 39, 39]),
        ("deeplab", False, [514, 258, 130, 66, 67, 67]),
        ("deeplab-largefov", True, [321, 161, 81, 41, 41, 41]),
        ("deeplab-largefov", False, [513, 257, 129, 65, 65, 65]),
        ("deeplab-7x7", True, [321, 161, 81, 41, 41, 41]),
        ("deeplab-4x4", True, [321, 161, 81, 41, 41, 41]),
        ("deeplab-msc", True, [321, 161, 81, 41, 41, 41]),
        ("fcn-8s", False, [500, 349, 175, 88, 44, 22]),
    ],
)
def test_sizes_behind_the_poolings(name: str, training: bool, sizes: list[int]) -> None:
    chain = published(name).chain(training)
    ends = [i + 1 for i, layer in enumerate(chain) if layer.name in ("pool1", "pool2", "pool3", "pool4", "pool5")]
    assert [sizes[0], *(output_size(chain[:end], sizes[0]) for end in ends)] == sizes
    assert output_size(chain, sizes[0]) == (16 if name == "fcn-8s" else sizes[-1])


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("training", [False, True])
def test_layers_make_the_sizes_they_say(name: str, training: bool) -> None:
    network = build_model(name, 2, width=NARROW).network.train(training)
    seen: list[Tensor] = []
    network.fc7.register_forward_hook(lambda module, inputs, output: seen.append(output))
    network(torch.zeros(1, 3, 41, 57))
    chain = network.chain(training)
    assert seen[0].shape[2:] == (output_size(chain, 41), output_size(chain, 57))


@pytest.mark.parametrize("name", VARIANTS)
def test_labels_width_and_crf(name: str) -> None:
    crf = CRFRNN(5, [smoothness_kernel()], num_iterations=1)
    model = build_model(name, 5, crf, width=0.05).eval()
    assert [model.network.get_submodule(layer).out_channels for layer in CONVOLUTIONS[:5]] == [8, 8, 8, 8, 12]
    assert model(255 * torch.rand(2, 3, 20, 30)).shape == (2, 5, 20, 30)


def test_channels_are_multiples_of_four() -> None:
    assert [scaled(64, width) for width in (1.0, 0.5, 0.14, 0.01)] == [64, 32, 8, 8]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_labels": 1}, "2 labels or more"),
        ({"width": 0.0}, "width is 0"),
        ({"output_stride": 4}, "8, 16 or 32"),
        ({"name": "fcn-8s", "output_stride": 8}, "fcn-8s has one density of scores"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(**{"num_labels": 3, "width": NARROW, **arguments})


def test_fields_are_known_of_this_family_only() -> None:
    with pytest.raises(TypeError, match="build_model"):
        receptive_field(torch.nn.Conv2d(3, 3, 3))
