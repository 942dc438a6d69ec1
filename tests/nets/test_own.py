"""Modules of others as networks: what they get, where their scores lie, their groups, other labels, checkpoints."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from crfrnn import CRFRNN, smoothness_kernel
from crfrnn.nets import NetworkFunction, build_model, infer, load_tensors, model_from_checkpoint, save_checkpoint
from crfrnn.nets.convert import main

TINY, STRICT = NetworkFunction("tests.own_networks:tiny"), NetworkFunction("tests.own_networks:Strict")


def function_of(tmp_path: Path, body: str) -> NetworkFunction:
    """A function in a file of its own; `module` is what it returns."""
    path = tmp_path / f"net_{abs(hash(body))}.py"
    body = body.replace("CONV", "nn.Conv2d(3, L, 1)")
    lines = ["import torch", "from torch import nn", "def net(L):", *(f"    {line}" for line in body.splitlines())]
    path.write_text("\n".join([*lines, "    return module"]))
    return NetworkFunction(f"{path}:net")


def test_scores_are_spread_over_the_image() -> None:
    model = build_model(TINY, 3).eval()
    image = 255 * torch.rand(2, 3, 33, 47)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    module = model.network.module
    scores = module((image / 255 - mean) / std)
    assert scores.shape == (2, 3, 8, 12)
    expected = F.interpolate(scores, size=(33, 47), mode="bilinear", align_corners=False)
    torch.testing.assert_close(model(image), expected)
    torch.testing.assert_close(infer(model, image, tile=8), expected)


@pytest.mark.parametrize("training", [True, False])
def test_the_crf_and_the_input_scale_go_with_any_module(training: bool) -> None:
    crf = CRFRNN(3, [smoothness_kernel()], num_iterations=2)
    model = build_model(TINY, 3, crf, input_scale=0.5).train(training)
    image = 255 * torch.rand(2, 3, 21, 30)
    with torch.no_grad():
        unary = model.unary(image)
        assert unary.shape == (2, 3, 21, 30)
        if not training:
            torch.testing.assert_close(model(image), crf(unary, image))


def test_a_dictionary_with_sides_of_multiples() -> None:
    model = build_model(STRICT, 3).eval()
    image = 255 * torch.rand(1, 3, 16, 24)
    expected = F.interpolate(model.network.module(image / 127.5 - 1)["out"], size=(16, 24), mode="bilinear")
    torch.testing.assert_close(model(image), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(
        ValueError, match=r"does not take an image of 15 x 24 pixels \(RuntimeError: .*size_multiple = 32"
    ):
        model(image[:, :, :15])
    model.network.size_multiple = 8
    padded = torch.tensor([122.675, 116.669, 104.008]).view(1, 3, 1, 1).repeat(1, 1, 16, 24)
    padded[:, :, :15] = image[:, :, :15]
    model.network.module.seen.clear()
    assert model(image[:, :, :15]).shape == (1, 3, 15, 24)
    torch.testing.assert_close(model.network.module.seen[0], padded / 127.5 - 1)


@pytest.mark.parametrize(
    ("declared", "wanted"),
    [
        ("'0..255'", lambda x: x),
        ("'0..1'", lambda x: x / 255),
        ("'-1..1'", lambda x: x / 127.5 - 1),
        ("((0.5, 0.4, 0.3), (0.1, 0.2, 0.5))", None),
    ],
)
def test_input_is_scaled_as_declared(tmp_path: Path, declared: str, wanted: Callable | None) -> None:
    body = f"module = CONV\nmodule.input_scaling = {declared}"
    model = build_model(function_of(tmp_path, body), 2).double()
    image = 255 * torch.rand(1, 3, 4, 5, dtype=torch.float64)
    mean, std = (torch.tensor(each, dtype=torch.float64).view(3, 1, 1) for each in ((0.5, 0.4, 0.3), (0.1, 0.2, 0.5)))
    expected = (image / 255 - mean) / std if wanted is None else wanted(image)
    torch.testing.assert_close(model(image), model.network.module(expected), rtol=1e-5, atol=1e-5)


def test_undeclared_input_is_raw_and_warned_about(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"does not declare its input, so it gets RGB in 0\.\.255; .*input_scaling"):
        model = build_model(function_of(tmp_path, "module = nn.Conv2d(3, L, 1)"), 2)
    image = 255 * torch.rand(1, 3, 4, 5)
    torch.testing.assert_close(model(image), model.network.module(image), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("module = CONV\nmodule.input_scaling = 'caffe'", "input_scaling 'caffe'; wanted one of '0..255'"),
        ("module = CONV\nmodule.input_scaling = (0, 1)", r"input_scaling \(0, 1\); wanted one of"),
        ("module = CONV\nmodule.input_scaling = ((0, 0, 0), (1, 1, 0))", "input_scaling .* wanted"),
        ("module = CONV\nmodule.input_scaling = '0..1'\nmodule.size_multiple = 2.5", "size_multiple 2.5; wanted"),
        (
            "module = CONV\nmodule.input_scaling = '0..1'\nmodule.parameter_groups = lambda: {'body': []}",
            "parameter_groups of 0 parameters called 'body'; wanted 'backbone' and 'head', and each of its 2",
        ),
        (
            "module = CONV\nmodule.input_scaling = '0..1'\nmodule.parameter_groups = lambda: [1]",
            r"parameter_groups that cannot be read \(AttributeError: .*; wanted a function without arguments",
        ),
        ("module = nn.Conv2d(3, L + 1, 1)\nmodule.input_scaling = '0..1'", r"shape \[1, 3, 4, 5\]; wanted logits \[1, 2,"),
        (
            "class Odd(nn.Module):\n    input_scaling = '0..1'\n    def forward(self, x):\n        return {'logits': x}\n"
            "module = Odd()",
            'gave a dictionary of logits; wanted logits .* or a dictionary with them under "out"',
        ),
        (
            "class Odd(nn.Module):\n    input_scaling = '0..1'\n    def forward(self, x): return [x]\nmodule = Odd()",
            "gave a list; wanted logits",
        ),
    ],
)  # fmt: skip
def test_modules_of_another_kind_are_refused(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(function_of(tmp_path, body), 2)(torch.zeros(1, 3, 4, 5))


def test_groups_of_parameters(tmp_path: Path) -> None:
    network = build_model(TINY, 3).network
    assert {network.family(name) for name, _ in network.named_parameters() if "backbone" in name} == {"trunk"}
    assert network.family("module.head.weight") == "last layer"
    network = build_model(STRICT, 3).network
    named = {name: network.family(name) for name, _ in network.named_parameters()}
    assert named["module.first.bias"] == "trunk"
    assert named["module.prior"] == named["module.last.weight"] == "last layer"
    body = "module = nn.Sequential(nn.Conv2d(3, L, 1))\nmodule.input_scaling = '0..1'"
    network = build_model(function_of(tmp_path, body), 3).network
    assert network.family("module.0.weight") == "trunk"  # nothing tells a backbone from a head


def test_other_labels_keep_the_rest() -> None:
    theirs, ours = build_model(TINY, 8).network, build_model(TINY, 3).network
    assert ours.label_layers == ("module.head",)
    for parameter in theirs.parameters():
        nn.init.constant_(parameter, 7.0)
    assert load_tensors(ours, theirs.state_dict()) == ["module.head.weight", "module.head.bias"]
    assert bool((ours.module.backbone[0].weight == 7).all())
    assert not (ours.module.head.weight == 7).any()
    nn.init.constant_(ours.module.head.weight, 7.0)
    ours.reset_scores()
    assert not (ours.module.head.weight == 7).any()


def saved(path: Path, name: str, function: NetworkFunction = TINY) -> torch.Tensor:
    """A checkpoint that claims the network `name`; returns the logits of its model for zeros."""
    model = build_model(function, 3).eval()
    save_checkpoint(path, model, architecture={"name": name, "num_labels": 3}, classes=["x", "y", "z"])
    return model(torch.zeros(1, 3, 8, 8))


def test_a_checkpoint_comes_back_with_the_function_that_it_names(tmp_path: Path) -> None:
    logits = saved(tmp_path / "a.pt", TINY.name)
    model, _ = model_from_checkpoint(tmp_path / "a.pt", [STRICT, TINY])
    assert torch.equal(model(torch.zeros(1, 3, 8, 8)), logits)
    with pytest.raises(
        ValueError, match=r"a\.pt' holds the network tests\.own_networks:tiny, not tests\.own_networks:Strict:"
    ):
        model_from_checkpoint(tmp_path / "a.pt", [STRICT])


def test_a_checkpoint_runs_no_code_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a module nor a file that it names, wherever it is read."""
    (tmp_path / "evil.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("evil.py:net", "evil:net", f"{tmp_path}/evil.py:net"):
        saved(tmp_path / "a.pt", name)
        with pytest.raises(ValueError, match=f"holds the network {name}: .*; wanted --network {name}"):
            model_from_checkpoint(tmp_path / "a.pt")
        assert main(["a.pt", "b.pt"]) == 2
        vgg = build_model(num_labels=3, width=0.02)
        save_checkpoint("vgg.pt", vgg, architecture={"name": name, "num_labels": 3}, classes=["x", "y", "z"])
        assert main(["vgg.pt", "b.pt"]) == 2
        with pytest.raises(ValueError, match="there is no network 'evil"):
            build_model(name.replace(f"{tmp_path}/", ""), 3)
