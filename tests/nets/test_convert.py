"""Weights of others: the network in a file and ours compute the same, and no tensor is lost on the way."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN
from crfrnn.nets import SegmentationModel, build_model, model_from_checkpoint, save_checkpoint
from crfrnn.nets.convert import main
from crfrnn.nets.weights.conversion import convert
from crfrnn.nets.weights.imagenet import TORCHVISION_NAMES
from tests.caffe_bytes import net

WIDTH, LABELS = 1 / 16, 3
OPTIONS = ["--width", str(WIDTH)]
Layers = dict[str, list[np.ndarray]]


def reference(name: str, labels: int = LABELS) -> SegmentationModel:
    """A narrow network whose every tensor is random."""
    model = build_model(name, labels, width=WIDTH).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def caffe_layers(model: SegmentationModel, names: dict[str, str] | None = None) -> Layers:
    """The blobs of a network as Caffe would have them: first layers for BGR, layers renamed."""
    layers: Layers = {}
    for name, tensor in model.network.state_dict().items():
        layer = name.split(".")[0]
        blob = tensor.flip(1) if name in ("conv1_1.weight", "data_conv.weight") else tensor
        layers.setdefault((names or {}).get(layer, layer), []).append(blob.numpy())
    return layers


def vgg16(model: SegmentationModel) -> Layers:
    """The classifier of ImageNet around the convolutions of a network: fc6 ... fc8 are matrices."""
    layers = caffe_layers(model)
    rng = np.random.default_rng(0)
    for name, shape in {"fc6": (256, 32 * 49), "fc7": (256, 256), "fc8": (1000, 256)}.items():
        layers[name] = [rng.standard_normal(shape, dtype=np.float32), rng.standard_normal(shape[0], dtype=np.float32)]
    return layers


def check_same_scores(ours: SegmentationModel, theirs: SegmentationModel) -> None:
    image = 255 * torch.rand(1, 3, 30, 37)
    torch.testing.assert_close(ours.eval()(image), theirs(image))


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("deeplab-largefov", {"fc8": "fc8_voc12"}),
        ("deeplab-msc-largefov", {"fc8": "fc8_pascal"}),
        ("fcn-32s", {"score_fr": "score-fr", "upscore": "upsample"}),
        ("fcn-16s", {}),
        (
            "fcn-16s",
            {"score_fr": "score-fr", "score_pool4": "score-pool4", "upscore2": "score2", "upscore16": "upsample"},
        ),
    ],
)
def test_caffe_networks(tmp_path: Path, name: str, names: dict[str, str], old: bool) -> None:
    theirs = reference(name, 21 if old else LABELS)
    path, out = tmp_path / "a.caffemodel", tmp_path / "a.pt"
    path.write_bytes(net(caffe_layers(theirs, names), old=old))
    assert main([str(path), str(out), *OPTIONS]) == 0
    ours, classes = model_from_checkpoint(out)
    assert classes[-1] == ("tvmonitor" if old else "label 2")
    check_same_scores(ours, theirs)


@pytest.mark.parametrize("grouped", [True, False])
def test_fcn_without_bias_and_with_one_kernel_per_label(tmp_path: Path, grouped: bool) -> None:
    theirs = reference("fcn-8s")
    with torch.no_grad():
        theirs.network.upscore2.bias.zero_()
        for layer in ("upscore2", "upscore_pool4", "upscore8"):
            theirs.network.get_parameter(f"{layer}.weight").mul_(torch.eye(LABELS)[..., None, None])
    layers = caffe_layers(theirs)
    layers["upscore2"].pop()
    if grouped:
        for layer in ("upscore2", "upscore_pool4", "upscore8"):
            layers[layer] = [np.stack([layers[layer][0][i, i][None] for i in range(LABELS)])]
    path = tmp_path / "a.caffemodel"
    path.write_bytes(net(layers, old=False))
    result = convert(path, width=WIDTH)
    assert result.architecture["name"] == "fcn-8s"
    assert any("upscore2.bias: zero" in note for note in result.notes)
    check_same_scores(result.model, theirs)


def test_fcn_trained_at_once(tmp_path: Path) -> None:
    theirs = reference("fcn-8s-at-once")
    path = tmp_path / "a.caffemodel"
    scales = {"scale_pool4": [np.full(32, 0.01, np.float32)], "scale_pool3": [np.full(16, 0.0001, np.float32)]}
    path.write_bytes(net(caffe_layers(theirs) | scales, old=False))
    result = convert(path, width=WIDTH)
    assert result.architecture["name"] == "fcn-8s-at-once"
    check_same_scores(result.model, theirs)
    with pytest.raises(ValueError, match="skips have other scales"):
        convert(path, "fcn-8s", width=WIDTH)
    path.write_bytes(net(caffe_layers(theirs) | scales | {"scale_pool4": [np.ones(32, np.float32)]}, old=False))
    with pytest.raises(ValueError, match=r"scale_pool4 multiplies by 1, our fcn-8s-at-once by 0\.01"):
        convert(path, width=WIDTH)


@pytest.mark.parametrize("old", [True, False])
def test_vgg16_is_decimated(tmp_path: Path, capsys: pytest.CaptureFixture[str], old: bool) -> None:
    trunk = reference("deeplab-largefov")
    layers = vgg16(trunk)
    path, out = tmp_path / "vgg.caffemodel", tmp_path / "vgg.pt"
    path.write_bytes(net(layers, old=old))
    command = [str(path), str(out), "--model", "deeplab-largefov", "--num-labels", "3", *OPTIONS]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "network.fc8.weight [3, 64, 1, 1]" in error
    assert "fc8.1 [1, 1, 1, 1000]" in error if old else "fc8.1 [1000]" in error
    assert "--accept-missing fc8 --accept-leftover fc8" in error
    for half in ("--accept-missing", "--accept-leftover"):
        assert main([*command, half, "fc8"]) == 2
    assert not out.exists()
    capsys.readouterr()
    assert main([*command, "--accept-missing", "fc8", "--accept-leftover", "fc8"]) == 0
    table = capsys.readouterr().out
    assert "BGR -> RGB" in table
    assert "matrix -> 3x3, decimated, 256 -> 64 channels" in table
    network = model_from_checkpoint(out)[0].network
    kernels = layers["fc6"][0].reshape(256, 32, 7, 7)
    assert np.array_equal(network.fc6.weight.detach().numpy(), kernels[::4, :, ::3, ::3])
    assert np.array_equal(network.fc7.weight.detach().numpy()[..., 0, 0], layers["fc7"][0][::4, ::4])
    assert np.array_equal(network.fc7.bias.detach().numpy(), layers["fc7"][1][::4])
    rgb = 255 * torch.rand(1, 3, 4, 5)
    bgr = rgb.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    theirs = torch.nn.functional.conv2d(bgr, *(torch.from_numpy(blob.copy()) for blob in layers["conv1_1"]))
    ours = torch.nn.functional.conv2d(rgb - network.mean, network.conv1_1.weight, network.conv1_1.bias)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


def test_vgg16_keeps_all_of_itself_in_the_full_network(tmp_path: Path) -> None:
    layers = vgg16(reference("deeplab-7x7"))
    path = tmp_path / "vgg.caffemodel"
    path.write_bytes(net(layers, old=False))
    accept = {"accept_missing": ["fc8"], "accept_left_over": ["fc8"]}
    network = convert(path, "deeplab-7x7", width=WIDTH, **accept).model.network
    assert np.array_equal(network.fc6.weight.detach().numpy().reshape(256, -1), layers["fc6"][0])
    with pytest.raises(ValueError, match="do not tell which network it is for; say --model"):
        convert(path, width=WIDTH, **accept)


def torchvision_state(model: SegmentationModel, classifier: float) -> dict[str, Tensor]:
    own = {name: torch.from_numpy(blob.copy()) for name, blob in flat(vgg16(model)).items()}
    state = {
        f"{theirs}.{kind}": own[f"{ours}.{kind}"]
        for ours, theirs in TORCHVISION_NAMES.items()
        for kind in ("weight", "bias")
    }
    state |= {f"classifier.6.{kind}": own[f"fc8.{kind}"] for kind in ("weight", "bias")}
    return {name: tensor * classifier if name.startswith("classifier") else tensor for name, tensor in state.items()}


def flat(layers: Layers) -> Layers:
    return {
        f"{layer}.{kind}": blob
        for layer, blobs in layers.items()
        for kind, blob in zip(("weight", "bias"), blobs, strict=True)
    }


def test_torchvision(tmp_path: Path) -> None:
    state = torchvision_state(reference("deeplab"), classifier=1.0)
    torch.save(state, tmp_path / "vgg16.pth")
    accept = {"accept_missing": ["fc8"], "accept_left_over": ["classifier.6"]}
    network = convert(tmp_path / "vgg16.pth", "deeplab", width=WIDTH, **accept).model.network
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    rgb = torch.rand(1, 3, 4, 5)
    theirs = torch.nn.functional.conv2d((rgb - mean) / std, state["features.0.weight"], state["features.0.bias"])
    ours = torch.nn.functional.conv2d(255 * rgb - network.mean, network.conv1_1.weight, network.conv1_1.bias)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
    kernels = state["classifier.0.weight"].view(256, 32, 7, 7)
    assert torch.equal(network.fc6.weight, kernels[:, :, ::2, ::2])


def test_torchvision_without_a_classifier(tmp_path: Path) -> None:
    torch.save(torchvision_state(reference("deeplab"), classifier=torch.nan), tmp_path / "features.pth")
    with pytest.raises(ValueError, match="--accept-missing fc6 fc7 fc8 --accept-leftover classifier"):
        convert(tmp_path / "features.pth", "deeplab", width=WIDTH)
    accept = {"accept_missing": ["fc6", "fc7", "fc8"], "accept_left_over": ["classifier"]}
    result = convert(tmp_path / "features.pth", "deeplab", width=WIDTH, **accept)
    assert all(bool(tensor.isfinite().all()) for tensor in result.model.state_dict().values())
    deviation = float(
        result.model.network.fc6.weight.detach().std()
    )  # He's for 32 x 4 x 4 inputs of size 14 instead of 1
    assert deviation == pytest.approx((2 / 512) ** 0.5 / 14, rel=0.05)


def test_a_model_goes_out_and_comes_back(tmp_path: Path) -> None:
    theirs = reference("deeplab-largefov")
    theirs.crf = CRFRNN(LABELS, kernel_weights="diagonal")
    with torch.no_grad():
        theirs.crf.cell.kernel_weights.mul_(torch.rand(2, LABELS))
    architecture = {"name": "deeplab-largefov", "num_labels": LABELS, "width": WIDTH}
    save_checkpoint(tmp_path / "a.pt", theirs, architecture=architecture, classes=["x", "y", "z"])
    assert main([str(tmp_path / "a.pt"), str(tmp_path / "plain.pth"), "--plain"]) == 0
    state = torch.load(tmp_path / "plain.pth", weights_only=True)
    assert state.keys() == theirs.state_dict().keys()
    assert main([str(tmp_path / "plain.pth"), str(tmp_path / "b.pt"), *OPTIONS]) == 0
    check_same_scores(model_from_checkpoint(tmp_path / "b.pt")[0], theirs)
    classes = tmp_path / "classes.txt"
    classes.write_text("x\ny\nz\n")
    assert main([str(tmp_path / "a.pt"), str(tmp_path / "c.pt"), "--classes", str(classes)]) == 0
    again, names = model_from_checkpoint(tmp_path / "c.pt")
    assert names == ["x", "y", "z"]
    check_same_scores(again, theirs)


def test_a_network_has_to_tell_its_colors(tmp_path: Path) -> None:
    theirs = reference("deeplab-largefov")
    torch.save(theirs.network.state_dict(), tmp_path / "rgb.pth")
    with pytest.raises(ValueError, match="--order rgb for a network of ours"):
        convert(tmp_path / "rgb.pth", width=WIDTH)
    check_same_scores(convert(tmp_path / "rgb.pth", width=WIDTH, order="rgb").model, theirs)
    flipped = {name: torch.from_numpy(blob.copy()) for name, blob in flat(caffe_layers(theirs)).items()}
    torch.save(flipped, tmp_path / "bgr.pth")
    check_same_scores(convert(tmp_path / "bgr.pth", width=WIDTH, order="bgr").model, theirs)


def test_other_labels_keep_the_trunk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = reference("deeplab-largefov", 21)
    path = tmp_path / "a.caffemodel"
    path.write_bytes(net(caffe_layers(theirs, {"fc8": "fc8_voc12"}), old=True))
    assert main([str(path), str(tmp_path / "a.pt"), "--num-labels", "4", *OPTIONS]) == 0
    assert "reinitialized for 4 labels: network.fc8.weight, network.fc8.bias" in capsys.readouterr().out
    ours = model_from_checkpoint(tmp_path / "a.pt")[0].network
    assert ours.fc8.weight.shape == (4, 64, 1, 1)
    for name, tensor in theirs.network.state_dict().items():
        assert name.startswith("fc8") or torch.equal(ours.state_dict()[name], tensor)


def test_other_networks_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "a.caffemodel", tmp_path / "a.pt"
    whole = net(caffe_layers(reference("deeplab-largefov")), old=True)
    alexnet = {"conv1": [np.zeros((96, 3, 11, 11), np.float32)], "fc6": [np.zeros((8, 4), np.float32)]}
    damaged = reference("deeplab-largefov")
    torch.nn.init.constant_(damaged.network.conv1_1.weight, torch.nan)
    vgg19 = {"conv3_4": [np.zeros((16, 16, 3, 3), np.float32)]}
    cases = {
        "of another network: its layers are conv1, fc6": net(alexnet, old=True),
        "cut short, damaged": whole[:-100],
        "numbers that are not finite": net(caffe_layers(damaged), old=True),
        "the file also holds conv3_4.0 [16, 16, 3, 3]": whole + net(vgg19, old=True),
    }
    for message, content in cases.items():
        path.write_bytes(content)
        assert main([str(path), str(out), *OPTIONS]) == 2
        assert message in capsys.readouterr().err
        assert not out.exists()
    path.write_bytes(whole)
    assert main([str(path), str(out)]) == 2  # a narrow network where the published one is wanted
    assert "network.conv1_1.weight has shape [8, 3, 3, 3], the model wants [64, 3, 3, 3]" in capsys.readouterr().err


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "a.caffemodel", tmp_path / "a.pt"
    path.write_bytes(net(caffe_layers(reference("deeplab-largefov")), old=True))
    out.write_bytes(b"mine")
    assert main([str(path), str(out), *OPTIONS]) == 2
    assert "exists; choose another name" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
    assert main([str(path), str(tmp_path / "no" / "a.pt"), *OPTIONS]) == 2
    assert "there is no folder" in capsys.readouterr().err
    torch.save([1, 2], tmp_path / "list.pth")
    assert main([str(tmp_path / "list.pth"), str(tmp_path / "b.pt")]) == 2
    assert "holds no state dict" in capsys.readouterr().err
