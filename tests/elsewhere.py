"""A pretended device: tensors that say they are elsewhere and compute in hidden tensors on the CPU.

What would need a hidden transfer on a GPU raises here: an operation on tensors of both sides. Transfers that are asked for,
to the device ("copy") and from it, and other waits for it, are counted by name. To torch's own code the tensors are on its
device "meta", so that memory it allocates for them is elsewhere, too.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
# What makes the host wait: results whose values or shapes it needs.
WAITS = {
    aten._local_scalar_dense.default: "item",
    aten.equal.default: "equal",
    aten.is_nonzero.default: "item",
    aten.nonzero.default: "nonzero",
    aten.masked_select.default: "masked_select",
    aten._unique2.default: "unique",
    aten.unique_dim.default: "unique",
    aten.repeat_interleave.Tensor: "repeat_interleave",
}

MISSING = (aten._embedding_bag.default, aten.searchsorted.Tensor, aten.aminmax.default)
"""operations that a device may lack, as releases of torch do on MPS"""


class FarTensor(Tensor):
    """`near`, as a tensor of the pretended device `there`."""

    near: Tensor
    there: "Elsewhere"

    @staticmethod
    def __new__(cls, near: Tensor, there: "Elsewhere") -> "FarTensor":
        return torch.Tensor._make_wrapper_subclass(
            cls, near.shape, near.stride(), near.storage_offset(), dtype=near.dtype, device="meta"
        )

    def __init__(self, near: Tensor, there: "Elsewhere") -> None:
        self.near, self.there = near, there

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.there.device

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return self.device.type == "cuda"

    @property
    def is_mps(self) -> bool:  # type: ignore[override]
        return self.device.type == "mps"

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        return False

    def new_tensor(self, data: Any, **options: Any) -> Tensor:  # type: ignore[override]
        return torch.tensor(data, **{"dtype": self.dtype, "device": self.device, **options})

    def tolist(self) -> Any:  # type: ignore[override]
        return self.cpu().tolist()

    def __repr__(self) -> str:  # type: ignore[override]
        return f"{self.near!r} on {self.device}"

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = next(leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, FarTensor))
        with found.there:
            return func(*args, **(kwargs or {}))


class Elsewhere(TorchDispatchMode):
    """The device, which exists inside `with`. `waits` counts by name what the host waited for; without `wide` it lacks
    float64.
    """

    # To torch a mode of fake tensors, inside which no GPU has to exist for tensors to be on it.
    _mode_key = torch._C._TorchDispatchModeKey.FAKE

    def __init__(self, kind: str = "cuda", wide: bool = True, lacks: Sequence[Any] = ()) -> None:
        super().__init__()
        self.device, self.wide, self.lacks = torch.device(kind, 0), wide, set(lacks)
        self.waits: Counter[str] = Counter()

    def put(self, tensor: Tensor) -> Tensor:
        """A copy of `tensor` there."""
        return FarTensor(tensor.detach().clone(), self).requires_grad_(tensor.requires_grad)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:  # in inference mode, what is made of other operations comes here as one
                return func.decompose(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        far = [tensor for tensor in tensors if isinstance(tensor, FarTensor)]
        target = kwargs.get("device")
        to_far = target is not None and target.type in (self.device.type, "meta")
        if not far and not to_far:
            return func(*args, **kwargs)
        if far and len(far) < len(tensors):
            raise AssertionError(f"{func} mixes tensors on {self.device} and on the CPU")
        if func in self.lacks:
            raise NotImplementedError(
                f"The operator '{func}' is not currently implemented for the {self.device} device."
            )
        away = target is not None and not to_far
        if func in WAITS or (away and far):
            self.waits[WAITS.get(func, "transfer")] += 1
        elif func in (aten.index.Tensor, aten.index_put_.default) and any(
            isinstance(each, Tensor) and each.dtype in (torch.bool, torch.uint8) for each in args[1]
        ):
            self.waits["mask"] += 1
        elif to_far and tensors and not far:
            self.waits["copy"] += 1
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        out = func(*tree_map(_near, args), **tree_map(_near, kwargs))
        if away:
            return out
        kept = torch.is_inference_mode_enabled() and not (func.is_view and not far[0].is_inference())
        with torch.inference_mode(kept):  # a view of an ordinary tensor is one, too
            wrapped = tree_map(self._far, out)
        return return_and_correct_aliasing(func, args, kwargs, wrapped) if far else wrapped

    def _far(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if value.dtype == torch.float64 and not self.wide:
            raise TypeError(
                f"Cannot convert a tensor on {self.device} to float64 dtype as the framework doesn't support it"
            )
        return FarTensor(value, self)


def _near(value: Any) -> Any:
    return value.near if isinstance(value, FarTensor) else value


def near(value: Any) -> Any:
    """What tensors of the device hold, in any structure, for a test to look at. Raises where one is not there."""

    def look(each: Any) -> Any:
        if isinstance(each, Tensor):
            assert isinstance(each, FarTensor), "a tensor of the CPU, wanted one of the device"
            return each.near
        return each

    return tree_map(look, value)


@contextmanager
def elsewhere(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Iterator[Elsewhere]:
    """The device, with `torch.tensor` and `torch.as_tensor` that know it: they do not come through torch's dispatcher."""
    there = Elsewhere(**options)

    def knowing(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def made(data: Any, *, device: Any = None, **more: Any) -> Tensor:
            target = None if device is None else torch.device(device)
            if isinstance(data, Tensor):
                return data.to(target, **more) if target is not None or more else data
            tensor = original(data, **more)
            return tensor if target is None or target.type != there.device.type else tensor.to(target)

        return made

    with monkeypatch.context() as patch, there:
        patch.setattr(torch, "tensor", knowing(torch.tensor))
        patch.setattr(torch, "as_tensor", knowing(torch.as_tensor))
        yield there
