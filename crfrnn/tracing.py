"""The CRF-RNN layer as one operator of torch, for `torch.compile`, `torch.export` and `torch.func`.

The lattices of an image depend on its values, which tracing does not know. Torch therefore traces the layer as one node,
`crfrnn::crf_rnn`: it takes all that the layer computes from, tensors and plain settings, and builds the layer again where
the node runs, so that a program exported by one process runs in any other that has imported crfrnn. Its derivative,
`crfrnn::crf_rnn_backward`, runs the layer once more, under autograd: the gradients are the layer's own, for the price of
a second forward pass, and have no derivatives themselves. `torch.func.grad` and `vmap` take both operators as autograd
functions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NoReturn

import torch
import torch.nn as nn
from torch import Tensor
from torch.autograd import Function
from torch.func import functional_call

from crfrnn.kernels import IMAGE, Kernel
from crfrnn.kernels.build import Spacing
from crfrnn.settings import of_words_and_numbers, words_and_numbers

# `names`, `guides` and `solver` have a line for each of the other tensors, for each kernel, and for each argument that
# chooses a solver; schemas have neither lists of strings nor dictionaries. `numbers`, of which torch.compile makes no text
# where they vary, are those of the solver.
_ARGUMENTS = (
    "Tensor unary, Tensor[] others, str names, SymInt num_iterations, float? tolerance, float[]? spacing, str guides, "
    "int[] thetas_position, int[] thetas_guide, int[] neighbors, str normalization, bool exclude_self, str filter, "
    "bool dilate, float min_belief, float message_tolerance, str solver, float[]? numbers"
)
_FEATURE = "features."


def is_opaque() -> bool:
    """Whether the layer has to be one node here: where torch traces or transforms the function that calls it.

    Raises RuntimeError inside `torch.jit.trace` and what builds on it, which would record the lattice of one image for all.
    """
    if torch.jit.is_tracing():
        raise RuntimeError(
            f"torch.jit.trace, and torch.onnx.export with dynamo=False, do not take a CRF; {_ALTERNATIVES}"
        )
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def refuse_script(layer: nn.Module) -> NoReturn:
    """What `torch.jit.script` calls first."""
    raise RuntimeError(f"torch.jit.script does not take a CRF; {_ALTERNATIVES}")


_ALTERNATIVES = "use torch.export, which does, or script and export the network alone and call the CRF after it"


class OpaqueLayer:
    """What CRFRNN (`layer_type`) is to tracing: two operators of torch, registered once for the process."""

    def __init__(self, layer_type: Callable[..., nn.Module]) -> None:
        self._layer_type = layer_type
        forward, backward = "crfrnn::crf_rnn", "crfrnn::crf_rnn_backward"
        torch.library.define(forward, f"({_ARGUMENTS}) -> Tensor")
        torch.library.define(backward, f"(Tensor gradient, bool[] needed, {_ARGUMENTS}) -> Tensor[]")
        torch.library.register_kernel(forward, None, self._forward)
        torch.library.register_kernel(backward, None, self._backward)
        torch.library.register_fake(forward, _fake_forward)
        torch.library.register_fake(backward, _fake_backward)
        torch.library.register_autograd(forward, _differentiate, setup_context=_save)
        torch.library.register_autograd(backward, _refuse)

    def __call__(
        self,
        layer: Any,
        unary: Tensor,
        image: Tensor | None,
        num_iterations: int,
        tolerance: float | None,
        features: Mapping[str, Tensor] | None,
        spacing: Spacing = None,
    ) -> Tensor:
        """`layer(unary, image, num_iterations, tolerance, features, spacing)`, [B, L, *space], as one node."""
        others = {} if image is None else {IMAGE: image}
        for name, feature in (features or {}).items():
            others[_FEATURE + name] = feature
        others.update(layer.named_parameters())
        others.update(layer.named_buffers())
        wanted = torch.is_grad_enabled() and any(each.requires_grad for each in (unary, *others.values()))
        settings = (
            "\n".join(others),
            num_iterations,
            tolerance,
            None if spacing is None else [float(each) for each in spacing],
            "\n".join([kernel.guide or "" for kernel in layer.kernels]),
            [_count(kernel.theta_position) for kernel in layer.kernels],
            [_count(kernel.theta_guide) for kernel in layer.kernels],
            [kernel.neighbors or 0 for kernel in layer.kernels],
            layer.normalization,
            layer.exclude_self,
            layer.filter,
            layer.dilate,
            layer.min_belief,
            0.0 if wanted else layer.message_tolerance,  # as without tracing
            *words_and_numbers(layer.solver_settings()),
        )
        if torch.compiler.is_compiling():
            return torch.ops.crfrnn.crf_rnn(unary, list(others.values()), *settings)
        return _Forward.apply(settings, unary, *others.values())

    def _forward(self, unary: Tensor, others: list[Tensor], *settings: Any) -> Tensor:
        with torch.no_grad():
            tensors = [tensor.detach() for tensor in (unary, *others)]
            return _own(self._run(tensors, *settings), unary)

    def _backward(
        self, gradient: Tensor, needed: list[bool], unary: Tensor, others: list[Tensor], *settings: Any
    ) -> list[Tensor]:
        with torch.enable_grad(), _autograd():
            pairs = zip((unary, *others), needed, strict=True)
            tensors = [tensor.detach().requires_grad_(wanted) for tensor, wanted in pairs]
            sources = [tensor for tensor in tensors if tensor.requires_grad]
            logits = self._run(tensors, *settings)
            gradients = torch.autograd.grad(logits, sources, gradient, materialize_grads=True)
        return [_own(each, gradient) for each in gradients]

    def _run(
        self, tensors: Sequence[Tensor], names: str, num_iterations: int, tolerance: float | None, spacing: Spacing,
        guides: str, thetas_position: Sequence[int], thetas_guide: Sequence[int], neighbors: Sequence[int], *settings: Any,
    ) -> Tensor:  # fmt: skip
        """The layer on `tensors`, the unary and what `names` calls the others."""
        unary, state = tensors[0], dict(zip(names.split("\n"), tensors[1:], strict=True))
        image = state.pop(IMAGE, None)
        features = {name[len(_FEATURE) :]: state.pop(name) for name in list(state) if name.startswith(_FEATURE)}
        layer = _layer(
            self._layer_type,
            len(state["cell.compatibility"]),
            tuple(zip(guides.split("\n"), thetas_position, thetas_guide, neighbors, strict=True)),
            *settings[:-1],
            tuple(settings[-1] or ()),
            "log_side_scales.0" in state,
            threading.get_ident(),
        )
        return functional_call(layer, state, (unary, image, num_iterations, tolerance, features, spacing))


@lru_cache(maxsize=16)
def _layer(
    layer_type: Callable[..., nn.Module], num_labels: int, kernels: tuple[tuple[str, int, int, int], ...],
    normalization: str, exclude_self: bool, filter: str, dilate: bool, min_belief: float,
    message_tolerance: float, solver: str, numbers: tuple[float, ...], learn_filter: bool, thread: int,
) -> nn.Module:  # fmt: skip
    """A layer of these settings, one per thread, to be called with the tensors of others; kept, so that it warns once."""
    with torch.inference_mode(False):
        return layer_type(
            num_labels,
            [
                Kernel(1.0, _ones(near), _ones(like), guide or None, edges or None)
                for guide, near, like, edges in kernels
            ],
            normalization=normalization,
            exclude_self=exclude_self,
            filter=filter,
            dilate=dilate,
            min_belief=min_belief,
            message_tolerance=message_tolerance,
            learn_filter=learn_filter,
            **of_words_and_numbers(solver, numbers),
        )


def _count(theta: float | tuple[float, ...] | None) -> int:
    """How many thetas a tuple has; -1 for a number, 0 for none."""
    return len(theta) if isinstance(theta, tuple) else 0 if theta is None else -1


def _ones(count: int) -> float | tuple[float, ...] | None:
    """What `_count` counts, with each theta being 1."""
    return (1.0,) * count if count > 0 else None if count == 0 else 1.0


def _own(result: Tensor, given: Tensor) -> Tensor:
    """`result`, contiguous, as tracing was told, and never what was `given`, which T = 0 hands back."""
    if result.data_ptr() == given.data_ptr():
        return result.clone(memory_format=torch.contiguous_format)
    return result.contiguous()


@contextmanager
def _autograd() -> Iterator[None]:
    """Autograd inside an operator, whose callers may have passed it already, as torch's own control flow operators do."""
    keys = [torch._C.DispatchKey.AutogradFunctionality, torch._C.DispatchKey.ADInplaceOrView]
    before = [torch._C._dispatch_tls_is_dispatch_key_excluded(key) for key in keys]
    try:
        for key in keys:
            torch._C._dispatch_tls_set_dispatch_key_excluded(key, False)
        yield
    finally:
        for key, excluded in zip(keys, before, strict=True):
            torch._C._dispatch_tls_set_dispatch_key_excluded(key, excluded)


def _fake_forward(unary: Tensor, *_: Any) -> Tensor:
    return unary.new_empty(unary.shape, dtype=torch.promote_types(unary.dtype, torch.float32))


def _fake_backward(gradient: Tensor, needed: list[bool], unary: Tensor, others: list[Tensor], *_: Any) -> list[Tensor]:
    pairs = zip((unary, *others), needed, strict=True)
    return [tensor.new_empty(tensor.shape) for tensor, wanted in pairs if wanted]


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    unary, others, *ctx.settings = inputs
    ctx.save_for_backward(unary, *others)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    unary, *others = ctx.saved_tensors
    needed = [ctx.needs_input_grad[0], *ctx.needs_input_grad[1]]
    gradients = iter(torch.ops.crfrnn.crf_rnn_backward(gradient, needed, unary, others, *ctx.settings))
    to_unary, *to_others = [next(gradients) if wanted else None for wanted in needed]
    return to_unary, to_others, *[None] * len(ctx.settings)


def _refuse(ctx: Any, *gradients: Any) -> NoReturn:
    raise RuntimeError(
        "a CRFRNN that is compiled, exported or transformed by torch.func has first derivatives only; call the layer itself "
        "for the derivatives of gradients"
    )


class _Forward(Function):
    """`crfrnn::crf_rnn` to torch.func."""

    @staticmethod
    def forward(settings: tuple[Any, ...], unary: Tensor, *others: Tensor) -> Tensor:
        return torch.ops.crfrnn.crf_rnn(unary, list(others), *settings)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.settings, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[1:]
        gradients = iter(_Backward.apply(ctx.settings, needed, gradient, *ctx.saved_tensors))
        return None, *[next(gradients) if wanted else None for wanted in needed]

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        _refuse_forward_mode()

    @staticmethod
    def vmap(info: Any, in_dims: Any, settings: tuple[Any, ...], *tensors: Tensor) -> tuple[Tensor, int]:
        return torch.stack([_Forward.apply(settings, *one) for one in _unstacked(info, in_dims[1:], tensors)]), 0


class _Backward(Function):
    """`crfrnn::crf_rnn_backward` to torch.func."""

    @staticmethod
    def forward(
        settings: tuple[Any, ...], needed: tuple[bool, ...], gradient: Tensor, unary: Tensor, *others: Tensor
    ) -> tuple[Tensor, ...]:
        return tuple(torch.ops.crfrnn.crf_rnn_backward(gradient, list(needed), unary, list(others), *settings))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> NoReturn:
        _refuse(ctx)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        _refuse_forward_mode()

    @staticmethod
    def vmap(info: Any, in_dims: Any, settings: tuple[Any, ...], needed: tuple[bool, ...], *tensors: Tensor) -> Any:
        gradients = [_Backward.apply(settings, needed, *one) for one in _unstacked(info, in_dims[2:], tensors)]
        stacked = tuple(torch.stack(parts) for parts in zip(*gradients, strict=True))
        return stacked, (0,) * len(stacked)


def _unstacked(info: Any, in_dims: Sequence[int | None], tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors of each call that `vmap` stands for; those without a dimension of it are the same in all."""
    for i in range(info.batch_size):
        yield [each if d is None else each.select(d, i) for each, d in zip(tensors, in_dims, strict=True)]


def _refuse_forward_mode() -> NoReturn:
    raise RuntimeError("a CRF has no derivatives in forward mode (jvp, jacfwd); use torch.func.grad, vjp or jacrev")
