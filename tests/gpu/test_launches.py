"""How much an iteration launches on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from crfrnn import gpu, native
from crfrnn.fused.mean_field import label_matrices, mean_field
from tests.fused_problems import layer, problem

pytestmark = pytest.mark.skipif(
    not gpu.runs(torch.empty(0)),
    reason="2026-11-26: needs a GPU, or Triton and TRITON_INTERPRET=1; .ci/gpu runs these",
)


class Launches(TorchDispatchMode):
    """Operations of torch that compute something, while it is entered, and Triton kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        allocates = func.name().startswith(("aten::empty", "aten::new_empty"))
        if not func.is_view and not allocates and func.name() not in ("aten::detach", "aten::_to_copy"):
            self.names.append(func.name())
        return func(*args, **(kwargs or {}))


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of all launches. A Triton kernel counts by itself, and what the interpreter does for it does not."""
    from crfrnn.gpu import kernels

    launches = Launches()

    class Counted:
        def __init__(self, name: str, kernel: Any) -> None:
            self.name, self.kernel = name, kernel

        def __getitem__(self, grid: Any) -> Any:
            def launch(*arguments: Any, **options: Any) -> None:
                launches.names.append(self.name)
                with torch.utils._python_dispatch._disable_current_modes():
                    self.kernel[grid](*arguments, **options)

            return launch

    with monkeypatch.context() as patch:
        for name in ("sum_bags", "blur_axis", "blur_and_multiply", "update", "sum_rows"):
            patch.setattr(kernels, name, Counted(name, getattr(kernels, name)))
        with launches:
            yield launches.names


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference"])
def test_an_iteration_launches_axes_and_three(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kernels, of 3 and 6 axes: what T = 4 launches beyond T = 2 is two iterations."""
    crf, (unary, image) = layer(2), problem(2)
    image[..., :4] = image[..., :1, :1]  # a bag of several parts
    with native.disabled(), mode():
        kernels = crf.build_kernels({"image": image}, unary)
        matrices = label_matrices(crf.cell.compatibility, crf.cell.kernel_weights)
        mean_field(unary, kernels, matrices, 1)  # what tables keep is there from now on
        found = []
        for iterations in (2, 4):
            with counted(monkeypatch) as names:
                mean_field(unary, kernels, matrices, iterations)
            found.append(names)
    assert kernels.stack.tables.parts[0].shape[0] > kernels.stack.num_vertices
    assert len(found[1]) - len(found[0]) == 2 * (6 + 3), found
