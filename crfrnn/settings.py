"""What a `CRFRNN` is, as plain values: to print it, to write it to a file, to build it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch.nn as nn
from torch import Tensor

from crfrnn.kernels import Kernel
from crfrnn.solvers.checks import DEFAULTS

if TYPE_CHECKING:
    from typing_extensions import Self

# The arguments of the constructor that are attributes of the same name, in the order in which they are printed.
PLAIN = (
    "num_iterations", "normalization", "exclude_self", "filter", "dilate", "min_belief", "message_tolerance",
)  # fmt: skip


class Described(nn.Module):
    """The part of `CRFRNN` that says what the layer is."""

    num_labels: int
    kernels: list[Kernel]
    log_bandwidth_scales: nn.ParameterList
    log_side_scales: nn.ParameterList

    @property
    def bandwidths(self) -> list[Tensor]:
        """The bandwidths of every kernel: of positions (pixels) first, then of the guide (gray levels).

        The initial ones times exp(log_bandwidth_scales), exactly 1 until something is learned: exp(log(theta)) would miss
        theta by rounding, and that moves points over the borders of the lattice.
        """
        scales = enumerate(self.log_bandwidth_scales)
        return [self.get_buffer(f"initial_bandwidths_{m}") * scale.exp() for m, scale in scales]

    @property
    def side_weights(self) -> list[Tensor] | None:
        """With `learn_filter`, the blur h, 1, h of every kernel: h along each axis of its lattice, 1/2 to begin with."""
        return [scale.exp() / 2 for scale in self.log_side_scales] or None

    def extra_repr(self) -> str:
        """For print(crf): the settings that are not off, and the kernels as they start."""
        settings = [f"{name}={value!r}" for name, value in self.settings().items() if value and name != "kernels"]
        return ", ".join(settings) + "".join(f",\n{kernel}" for kernel in self.kernels)

    def settings(self) -> dict[str, Any]:
        """The arguments that build this layer again, as plain values; what it has learned is in its state dict."""
        return {
            "num_labels": self.num_labels,
            "kernels": [asdict(kernel) for kernel in self.kernels],
            "kernel_weights": ("scalar", "diagonal", "matrix")[self.get_parameter("cell.kernel_weights").ndim - 1],
            "learn_bandwidths": any(scale.requires_grad for scale in self.log_bandwidth_scales),
            **{name: getattr(self, name) for name in PLAIN},
            **({"learn_filter": True} if self.side_weights else {}),
            **self.solver_settings(),
        }

    def solver_settings(self) -> dict[str, Any]:
        """Those of the arguments that choose a solver which are not the default."""
        return {name: getattr(self, name) for name, usual in DEFAULTS.items() if getattr(self, name) != usual}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """The layer that `settings` describes, as it starts; load a state dict into it for what was learned."""
        # Until 2026 the field `neighbors` was spelled `neighbours`; checkpoints and crf.json files of then load, too.
        kernels = [
            Kernel(**{name.replace("neighbours", "neighbors"): value for name, value in kernel.items()})
            for kernel in settings["kernels"]
        ]
        return cls(**{**settings, "kernels": kernels})


def words_and_numbers(arguments: Mapping[str, float | str]) -> tuple[str, list[float] | None]:
    """Arguments as text and the numbers that it leaves out, None for none: torch.compile makes no text of numbers."""
    words = [f"{name} {value}" if isinstance(value, str) else name for name, value in arguments.items()]
    return "\n".join(words), [value for value in arguments.values() if not isinstance(value, str)] or None


def of_words_and_numbers(lines: str, numbers: Sequence[float]) -> dict[str, float | str]:
    """Arguments by name from lines of a name and a word, or of a name alone, whose value is the next of `numbers`."""
    left = iter(numbers)
    return {name: word or next(left) for name, _, word in (line.partition(" ") for line in lines.splitlines())}
