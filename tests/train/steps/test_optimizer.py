"""Groups, rates and clipping against rates worked out by hand."""

from dataclasses import replace

import pytest
import torch

from crfrnn import CRFRNN, feature_kernel, smoothness_kernel
from crfrnn.nets import build_model
from train.recipes import Stage
from train.steps.optimizer import anchors, build_optimizer, clip_gradients, factor, family, pull, rates, set_rates

STAGE = Stage(
    steps=100,
    batch_size=1,
    lr=0.1,
    new_layers_multiplier=2,
    last_layer_multiplier=10,
    kernel_weight_multiplier=100,
    compatibility_multiplier=3,
    bandwidth_multiplier=5,
    filter_multiplier=7,
    weight_decay=0.01,
)


def test_every_parameter_has_its_rate_and_decay() -> None:
    model = build_model(num_labels=3, width=0.05, crf=CRFRNN(3, learn_bandwidths=True, learn_filter=True))
    model.network.conv1_1.requires_grad_(False)
    optimizer = build_optimizer(model, STAGE)
    settings = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    found = {name: settings.get(id(parameter)) for name, parameter in model.named_parameters()}
    assert found["network.conv1_1.weight"] is None
    assert found["network.conv5_3.weight"] == pytest.approx((0.1, 0.01))
    assert found["network.conv5_3.bias"] == pytest.approx((0.2, 0))
    assert found["network.fc6.weight"] == pytest.approx((0.2, 0.01))
    assert found["network.fc7.bias"] == pytest.approx((0.4, 0))
    assert found["network.fc8.weight"] == pytest.approx((1.0, 0.01))
    assert found["crf.cell.kernel_weights"] == pytest.approx((10.0, 0))
    assert found["crf.cell.compatibility"] == pytest.approx((0.3, 0))
    assert found["crf.log_bandwidth_scales.0"] == pytest.approx((0.5, 0))
    assert found["crf.log_side_scales.1"] == pytest.approx((0.7, 0))
    assert sum(setting is None for setting in found.values()) == 2


@pytest.mark.parametrize(
    ("changes", "step", "wanted"),
    [
        ({}, 0, 1.0),
        ({"power": 1.0}, 25, 0.75),
        ({"power": 2.0}, 50, 0.25),
        ({"schedule": "step", "step_size": 40}, 39, 1.0),
        ({"schedule": "step", "step_size": 40}, 40, 0.1),
        ({"schedule": "step", "step_size": 40}, 99, 0.01),
        ({"schedule": "fixed"}, 99, 1.0),
        ({"warmup": 10, "schedule": "step"}, 0, 0.1),
        ({"warmup": 10, "schedule": "step"}, 4, 0.5),
        ({"warmup": 10, "schedule": "step"}, 10, 1.0),
    ],
)
def test_schedule(changes: dict, step: int, wanted: float) -> None:
    stage = Stage(steps=100, batch_size=1, lr=1.0, **changes)
    assert factor(stage, step) == pytest.approx(wanted)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [parameter], "lr": 0.5, "base_lr": 0.5}])
    set_rates(optimizer, stage, step)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * wanted)


def test_branches_are_new_and_their_scores_last() -> None:
    model = build_model("deeplab-msc", num_labels=3, width=0.05)
    rates = {id(p): g["lr"] for g in build_optimizer(model, STAGE).param_groups for p in g["params"]}
    found = {name: rates.get(id(parameter)) for name, parameter in model.network.named_parameters()}
    assert found["conv1_1.weight"] is None
    assert found["pool3_conv.weight"] == pytest.approx(0.2)
    assert found["data_fc.bias"] == pytest.approx(0.4)
    assert found["pool4_ms.weight"] == found["fc8.weight"] == pytest.approx(1.0)
    fcn = build_model("fcn-16s", num_labels=3, width=0.02)
    kinds = {name: family(fcn, f"network.{name}") for name, _ in fcn.network.named_parameters()}
    assert {kinds["score_pool4.weight"], kinds["score_fr.bias"]} == {"last layer"}
    assert {kinds["fc7.weight"], kinds["conv4_2.weight"]} == {"new layers", "trunk"}


def test_nothing_to_learn_is_said() -> None:
    model = build_model(num_labels=3, width=0.05).requires_grad_(False)
    with pytest.raises(ValueError, match=r"--stages.joint.freeze leaves nothing to learn"):
        build_optimizer(model, STAGE, "joint")


def test_clipping_each_group() -> None:
    model = build_model(num_labels=3, width=0.05, crf=CRFRNN(3))
    optimizer = build_optimizer(model, STAGE)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    model.network.fc8.weight.grad[0, 0] = 3.0
    model.network.fc8.bias.grad[:] = torch.tensor([0.0, 0.0, 4.0])
    model.crf.cell.kernel_weights.grad[:] = torch.tensor([0.6, 0.8])
    norms = {"trunk": 0, "new layers": 0, "last layer": 5.0, "kernel weights": 1.0, "compatibility": 0}
    assert clip_gradients(optimizer, None) == pytest.approx(norms)
    assert clip_gradients(optimizer, 2.0) == pytest.approx(norms)
    torch.testing.assert_close(model.network.fc8.weight.grad[0, 0], torch.tensor([[1.2]]))
    torch.testing.assert_close(model.network.fc8.bias.grad, torch.tensor([0.0, 0.0, 1.6]))
    torch.testing.assert_close(model.crf.cell.kernel_weights.grad, torch.tensor([0.6, 0.8]))
    assert rates(optimizer)["last layer"] == pytest.approx(1.0)


def test_adam_and_the_guide_and_the_temperature_have_rates() -> None:
    crf = CRFRNN(3, [feature_kernel("learned", 3.0, 2.0)])
    model = build_model("deeplabv3-mobilenetv2", 3, crf, width=0.1, guide_channels=4)
    temperature = torch.nn.Parameter(torch.zeros(()))
    stage = replace(STAGE, optimizer="adam", guide_multiplier=7)
    optimizer = build_optimizer(model, stage, temperature=[temperature])
    assert isinstance(optimizer, torch.optim.AdamW)
    assert rates(optimizer)["guide"] == pytest.approx(0.7)
    assert rates(optimizer)["temperature"] == rates(optimizer)["kernel weights"] == pytest.approx(10.0)


def test_the_pull_makes_a_parabola_around_where_the_stage_began() -> None:
    """Gradient descent on it alone: the distance shrinks by 1 - rate times decay in each step."""
    model = build_model(num_labels=3, width=0.05, crf=CRFRNN(3, [smoothness_kernel(weight=2.0)]))
    assert model.crf is not None
    begun, weights = anchors(model), model.crf.cell.kernel_weights
    with torch.no_grad():
        weights += 1.0
    for _ in range(3):
        weights.grad = torch.zeros_like(weights)
        pull(begun, 0.4)
        with torch.no_grad():
            weights -= 0.5 * weights.grad
    assert weights.tolist() == pytest.approx([2.0 + 0.8**3])
    assert model.crf.cell.compatibility.grad is None
