"""torch.export and torch.compile of whole models."""

import pytest
import torch

from crfrnn import CRFRNN, smoothness_kernel
from crfrnn.nets import NETWORKS, SegmentationModel, build_model


@pytest.mark.parametrize("name", NETWORKS)
def test_plain_models_export_at_a_fixed_size(name: str) -> None:
    model = build_model(name, 3, width=0.01).eval()
    image = 255 * torch.rand(1, 3, 20, 33)
    program = torch.export.export(model, (image,))
    other = 255 * torch.rand(1, 3, 20, 33)
    torch.testing.assert_close(program.module()(other), model(other))


def test_a_model_with_a_crf_exports_but_for_the_crf() -> None:
    model = build_model("deeplab-largefov", 3, CRFRNN(3), width=0.01).eval()
    image = 255 * torch.rand(1, 3, 20, 33)
    with pytest.raises(ValueError, match=r"SegmentationModel\(model\.network, None"):
        torch.export.export(model, (image,))
    program = torch.export.export(SegmentationModel(model.network, None, model.input_scale), (image,))
    torch.testing.assert_close(model.crf(program.module()(image), image), model(image))


def test_compiled_model_with_a_crf() -> None:
    model = build_model("deeplab-largefov", 3, CRFRNN(3, [smoothness_kernel()]), width=0.01, dropout=0.0)
    image = 255 * torch.rand(1, 3, 20, 33)
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    compiled = torch.compile(model, backend=backend)
    wanted = model(image)
    wanted.sum().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    got = compiled(image)
    got.sum().backward()
    torch.testing.assert_close(got, wanted)
    for found, reference in zip([p.grad for p in model.parameters() if p.grad is not None], gradients, strict=True):
        torch.testing.assert_close(found, reference)
    called = [str(node.target) for graph in graphs for node in graph.graph.nodes if node.op != "placeholder"]
    assert sum("conv2d" in target for target in called) == 16  # the whole network, and nothing of the CRF
    assert not any("embedding_bag" in target for target in called)
