"""The layer as one operator: what tracing makes of it computes what the layer does, gradients and refusals included."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from crfrnn import CRFRNN, appearance_kernel, feature_kernel, grid_kernel, native, smoothness_kernel

KERNELS = [smoothness_kernel(2.0, 1.0), appearance_kernel(8.0, 40.0, 2.0)]
LAYERS: dict[str, dict[str, Any]] = {
    "lattice": {},
    "exact": {"filter": "exact", "learn_bandwidths": True},
    "matrices": {"kernel_weights": "matrix", "normalization": "symmetric", "exclude_self": True},
    "diagonal": {"kernel_weights": "diagonal", "normalization": "before", "dilate": True},
    "learned filter": {"learn_filter": True, "normalization": "symmetric"},
    "few labels": {"min_belief": 0.2},
    "pixels that wait": {"message_tolerance": 0.3},
    "damped": {"damping": 0.4},
    "damped as far as needed": {"damping": "auto"},
    "frank-wolfe": {"solver": "frank_wolfe", "regularizer_weight": 5.0, "step": "standard"},
    "grid": {"kernels": [*KERNELS, grid_kernel(4, 80.0, 0.5)]},
    "features": {"kernels": [*KERNELS, feature_kernel("depth", 0.5, 1.0), feature_kernel("normals", 2.0, 1.0, 5.0)]},
}

EACH = [appearance_kernel((8.0, 6.0, 7.0), (40.0, 50.0, 60.0), 2.0), grid_kernel(6, 80.0, 0.5), smoothness_kernel(2.0)]


@pytest.fixture(autouse=True)
def _nothing_compiled() -> None:
    torch.compiler.reset()


def layer(**settings: Any) -> CRFRNN:
    """A layer in float64 whose every tensor differs from what its settings alone would give."""
    built = CRFRNN(3, **{"kernels": KERNELS, "num_iterations": 2, **settings}).double()
    with torch.no_grad():
        for tensor in [*built.parameters(), *built.buffers()]:
            tensor += 0.1 * torch.rand_like(tensor)
    return built


def inputs(crf: CRFRNN) -> dict[str, Any]:
    unary, image = 2 * torch.randn(2, 3, 6, 7).double(), 255 * torch.rand(2, 3, 6, 7).double()
    unary[0, 2] -= 10  # a label that is nowhere in the first image
    features = {name: torch.rand(2, 2, 6, 7).double() for name in ("normals", "depth")}
    wanted = {kernel.guide for kernel in crf.kernels}
    return {"unary": unary, "image": image, "features": {n: f for n, f in features.items() if n in wanted}}


def compiled(function: Callable, graphs: list[torch.fx.GraphModule] | None = None) -> Callable:
    """`function` as torch.compile traces it, derivative included, but run by torch itself: it saves the C++ compiler."""
    if graphs is None:
        return torch.compile(function, fullgraph=True, backend="aot_eager")

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    return torch.compile(function, fullgraph=True, backend=backend)


def outcome(run: Callable, crf: CRFRNN, given: dict[str, Any], direction: Tensor) -> dict[str, Tensor]:
    """Logits, and the gradients of <logits, direction> by the name of everything that has one."""
    given = {**given, "features": {name: each.clone().requires_grad_() for name, each in given["features"].items()}}
    given |= {name: given[name].clone().requires_grad_() for name in ("unary", "image")}
    sources = {"unary": given["unary"], "image": given["image"], **given["features"]}
    sources |= {name: parameter for name, parameter in crf.named_parameters() if parameter.requires_grad}
    logits = run(**given)
    gradients = torch.autograd.grad((logits * direction).sum(), list(sources.values()))
    return {"logits": logits, **dict(zip(sources, gradients, strict=True))}


@pytest.mark.parametrize(
    ("name", "plain"), [*((name, False) for name in LAYERS), ("lattice", True), ("features", True)]
)
def test_logits_and_every_gradient(name: str, plain: bool) -> None:
    crf = layer(**LAYERS[name])
    given, direction = inputs(crf), torch.randn(2, 3, 6, 7).double()
    with native.disabled() if plain else nullcontext():
        wanted = outcome(crf, crf, given, direction)
        found = outcome(compiled(crf), crf, given, direction)
        with torch.no_grad():
            torch.testing.assert_close(compiled(crf)(**given), crf(**given))
    assert found.keys() == wanted.keys()
    for key, reference in wanted.items():
        assert reference.abs().max() > 0, key
        torch.testing.assert_close(found[key], reference, msg=lambda text, key=key: f"{key}: {text}")


def test_gradients_at_a_fixed_point() -> None:
    crf = layer(gradient="implicit", num_iterations=200)
    given, direction = inputs(crf) | {"tolerance": 1e-10}, torch.randn(2, 3, 6, 7).double()
    wanted, found = outcome(crf, crf, given, direction), outcome(compiled(crf), crf, given, direction)
    for key, reference in wanted.items():
        torch.testing.assert_close(found[key], reference, msg=lambda text, key=key: f"{key}: {text}")


def test_frozen_parameters_get_no_gradient() -> None:
    crf = layer()
    crf.cell.compatibility.requires_grad_(False)
    given = inputs(crf)
    compiled(crf)(**given).square().sum().backward()
    assert crf.cell.compatibility.grad is None
    assert crf.cell.kernel_weights.grad is not None


def test_one_node_while_tracing_and_none_otherwise() -> None:
    crf = layer()
    given, graphs = inputs(crf), []
    compiled(crf, graphs)(**given)
    calls = [str(node.target) for graph in graphs for node in graph.graph.nodes if node.op.startswith("call")]
    assert calls == ["crfrnn.crf_rnn"]
    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with Watch():
        crf(**given)
    assert seen
    assert not any("crf_rnn" in name for name in seen)


def test_a_volume_with_spacing_and_a_theta_for_each_axis_and_channel() -> None:
    crf = layer(kernels=EACH, learn_bandwidths=True)
    unary, image = 2 * torch.randn(1, 3, 2, 4, 5).double(), 255 * torch.rand(1, 3, 2, 4, 5).double()
    given, direction = (
        {"unary": unary, "image": image, "features": {}, "spacing": (2, 1.5, 0.5)},
        torch.randn_like(unary),
    )
    wanted, found = (outcome(run, crf, given, direction) for run in (crf, compiled(crf)))
    for key, reference in wanted.items():
        torch.testing.assert_close(found[key], reference, msg=lambda text, key=key: f"{key}: {text}")
    torch.testing.assert_close(
        torch.func.vmap(lambda u: crf(u, image, spacing=(2, 1.5, 0.5)))(unary[None])[0],
        crf(unary, image, spacing=(2, 1.5, 0.5)),
    )


def test_arguments_of_the_call() -> None:
    crf = layer()
    given, run = inputs(crf), compiled(crf)
    with torch.no_grad():
        for arguments in ({"num_iterations": 0}, {"num_iterations": 5}, {"num_iterations": 9, "tolerance": 0.3}):
            torch.testing.assert_close(run(**given, **arguments), crf(**given, **arguments))
        crf.cell.kernel_weights.mul_(2)  # what is learned meanwhile counts
        torch.testing.assert_close(run(**given), crf(**given))
        blind = layer(kernels=KERNELS[:1])
        torch.testing.assert_close(compiled(blind)(given["unary"]), blind(given["unary"]))


@pytest.mark.parametrize(
    "settings",
    [
        [{}, {"damping": 0.5}, {"damping": 0.7}, {"damping": "auto"}],
        [{"solver": "frank_wolfe", "step": 0.5}, {"solver": "frank_wolfe", "step": 0.7, "regularizer_weight": 0.5}],
    ],
)
def test_layers_that_differ_in_a_number_are_one_node_each(settings: list[dict]) -> None:
    """`torch.compile` takes a number for one that varies once it has met another in its place."""
    for each in settings:
        crf = layer(**each)
        given = inputs(crf)
        with torch.no_grad():
            torch.testing.assert_close(compiled(crf)(**given), crf(**given))


@pytest.mark.parametrize("num_iterations", [0, 2])
def test_half_precision_is_widened(num_iterations: int) -> None:
    crf = layer().float()
    unary, image = torch.randn(1, 3, 5, 6).half(), 255 * torch.rand(1, 3, 5, 6).half()
    wanted = crf(unary, image, num_iterations)
    found = compiled(crf)(unary, image, num_iterations)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted)


def test_values_are_checked_where_the_node_runs() -> None:
    crf = layer()
    given = inputs(crf)
    program = torch.export.export(crf, (), given).module()
    torch.testing.assert_close(program(**given), crf(**given))
    bad = {**given, "unary": torch.full_like(given["unary"], torch.nan)}
    for run in (compiled(crf), program):
        with pytest.raises(ValueError, match="unary holds values that are not finite"):
            run(**bad)


def test_a_small_range_is_told_once() -> None:
    crf = layer()
    given = inputs(crf)
    given["image"] /= 255
    run = compiled(crf)
    with pytest.warns(UserWarning, match="as one in 0..1"):
        run(**given)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "the image that guides")
        run(**given)


@pytest.mark.parametrize(
    ("settings", "num_iterations", "dtype"),
    [
        ({"learn_bandwidths": True}, 2, torch.float64),
        ({"filter": "exact"}, 2, torch.float64),
        ({}, 0, torch.float64),
        ({}, 2, torch.float16),
    ],
)
def test_the_operators_keep_what_they_promise(settings: dict, num_iterations: int, dtype: torch.dtype) -> None:
    crf = layer(**settings)
    given = {name: each.to(dtype) for name, each in inputs(crf).items() if name != "features"}
    given["unary"].requires_grad_()
    program = torch.export.export(crf, (), {**given, "num_iterations": num_iterations}).module()
    calls = []

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if "crf_rnn" in str(func):
                calls.append((func, args))
            return func(*args, **(kwargs or {}))

    with Record():
        program(**given, num_iterations=num_iterations).sum().backward()
    (forward, forward_args), (backward, backward_args) = calls
    torch.library.opcheck(forward, forward_args)
    # Its own derivative is refused, see below.
    torch.library.opcheck(backward, tree_map_only(Tensor, Tensor.detach, backward_args))


def test_second_derivatives_are_refused() -> None:
    given = inputs(crf := layer())
    unary = given.pop("unary").requires_grad_()
    program = torch.export.export(crf, (unary,), given).module()
    (gradient,) = torch.autograd.grad(program(unary, **given).square().sum(), unary, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        gradient.sum().backward()
