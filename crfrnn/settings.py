"""What a `CRFRNN` is, as plain values: to print it, to write it to a file, to build it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch.nn as nn

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
