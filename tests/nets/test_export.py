"""torch.export and torch.compile of whole models, the CRF included."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.nets import NetworkFunction, SegmentationModel, build_model

KERNELS = [smoothness_kernel(), appearance_kernel(theta_alpha=20, theta_beta=20)]


@pytest.fixture(autouse=True)
def _nothing_compiled() -> None:
    torch.compiler.reset()


def model(name: str | NetworkFunction, **arguments: float) -> SegmentationModel:
    built = build_model(name, 3, CRFRNN(3, KERNELS, num_iterations=2), width=0.01, dropout=0.0, **arguments)
    for layer in built.network.label_layers:
        if not layer.startswith("upscore"):
            torch.nn.init.normal_(built.network.get_submodule(layer).weight)
    return built


def photo() -> Tensor:
    return 255 * torch.rand(2, 3, 20, 33)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("deeplab", {"output_stride": 16}),
        ("deeplab-largefov", {"input_scale": 0.5}),
        ("deeplab-msc", {}),
        ("fcn-32s", {}),
        ("fcn-8s-at-once", {}),
        (NetworkFunction("tests.own_networks:tiny"), {"input_side": 50}),
    ],
)
def test_models_export_at_a_fixed_size(name: str | NetworkFunction, arguments: dict[str, float]) -> None:
    built, other = model(name, **arguments).eval(), photo()
    program = torch.export.export(built, (photo(),))
    unary, wanted = built.unary(other), built(other)
    assert (wanted - unary).abs().max() > 0.01
    torch.testing.assert_close(program.module()(other), wanted, rtol=0, atol=1e-5)


def test_a_program_is_saved_and_loaded(tmp_path: Path) -> None:
    built, image = model("deeplab-largefov").eval(), photo()
    torch.export.save(torch.export.export(built, (image,)), tmp_path / "model.pt2")
    again = torch.export.load(tmp_path / "model.pt2").module()
    torch.testing.assert_close(again(image), built(image), rtol=0, atol=1e-5)


def test_compiled_as_one_graph() -> None:
    built, image, graphs = model("deeplab-largefov"), photo(), []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    compiled = torch.compile(built, backend=backend, fullgraph=True)
    wanted = built(image)
    wanted.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in built.named_parameters() if parameter.requires_grad}
    built.zero_grad()
    found = compiled(image)
    found.square().sum().backward()
    torch.testing.assert_close(found, wanted)
    for name, reference in gradients.items():
        torch.testing.assert_close(built.get_parameter(name).grad, reference, msg=name, rtol=1e-3, atol=1e-4)
    called = [str(node.target) for graph in graphs for node in graph.graph.nodes if node.op.startswith("call")]
    assert sum("conv2d" in target for target in called) == 16
    assert called.count("crfrnn.crf_rnn") == 1


@torch.no_grad()
def test_compiled_for_inference() -> None:
    built, image = model("fcn-8s").eval(), photo()
    compiled = torch.compile(built, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(image), built(image), rtol=0, atol=1e-4)
