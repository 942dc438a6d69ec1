"""The loop recorded as a CUDA graph, and replayed for other images: `CRFRNN_GPU=graph`.

The processor needs longer to launch the (axes + 3) T kernels of a single image than a GPU to run them, and launches a graph
at once. The tensors of a graph keep their places and sizes. So there is a graph for each of few sizes (see `padded`), and
what an image brings is copied into its tensors.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from crfrnn.gpu.launch import on_device
from crfrnn.gpu.loop import Loop
from crfrnn.gpu.model import Model, padded

MOST_KEPT = 4
"""graphs; each has memory of its own for all that the loop reads and writes"""


class Recording:
    """A loop over tensors of its own, and the logits that it last wrote."""

    def __init__(self, loop: Loop, unary: Tensor, matrices: Tensor) -> None:
        # They serve later images, too, in inference mode or not.
        with torch.inference_mode(False), torch.no_grad():
            self.tensors = [each.clone() for each in (*loop.model, unary, matrices)]
            *model, unary, matrices = self.tensors
            own = Loop(Model(*model), loop.segments, loop.iterations)
            self.logits, self.replay = recorded(lambda: own.forward(unary, matrices), capture=unary.is_cuda)

    def play(self, *tensors: Tensor) -> Tensor:
        """The logits for other tensors of the same sizes."""
        for own, given in zip(self.tensors, tensors, strict=True):
            own.copy_(given)
        self.replay()
        return self.logits.clone()


_KEPT: OrderedDict[Any, Recording] = OrderedDict()
_LOCK = Lock()


@torch.no_grad()
def forward(loop: Loop, unary: Tensor, matrices: Tensor) -> Tensor:
    """As `Loop.forward`, for at most MOST_MULTIPLIED labels, beyond which the loop knows where the kernels end."""
    loop = Loop(padded(loop.model), loop.segments, loop.iterations)
    tensors = (*loop.model, unary, matrices)
    with _LOCK, on_device(unary):
        # On another stream the next image would be copied in while this one is computed with.
        stream = torch.cuda.current_stream().cuda_stream if unary.is_cuda else 0
        key = (loop.iterations, unary.device, stream, *((each.shape, each.dtype) for each in tensors))
        if key not in _KEPT:
            if len(_KEPT) == MOST_KEPT:
                if unary.is_cuda:
                    torch.cuda.synchronize()  # it may not have finished
                _KEPT.popitem(last=False)
            _KEPT[key] = Recording(loop, unary, matrices)
        _KEPT.move_to_end(key)
        return _KEPT[key].play(*tensors)


def recorded(run: Callable[[], Tensor], *, capture: bool) -> tuple[Tensor, Callable[[], object]]:
    """The tensor that `run` returns, and what computes it again, in the same place: `run`, or a graph that captures it."""
    if not capture:
        out = run()
        return out, lambda: out.copy_(run())
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run()  # Triton compiles what it has not yet
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        out = run()
    return out, graph.replay
