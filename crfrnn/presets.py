"""The numbers of a dense CRF, and published sets of them.

DeepLab's are cross-validated, each for one network, and belong to normalization after filtering (Chen et al. 2015, released
settings by model); those of Kraehenbuehl & Koltun 2011 are the defaults of their code, version 1 and version 2 (which
pydensecrf wraps); those of CRF-RNN are what its training begins with (Zheng et al. 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

# Command lines are made of these types before anything heavy is imported; so torch waits until something is built.
if TYPE_CHECKING:
    from crfrnn.kernels import Kernel
    from crfrnn.meanfield import CRFRNN


@dataclass(frozen=True)
class FixedCRF:
    """The numbers of a dense CRF with two kernels, Potts penalties and one weight per kernel, as DeepLab has it."""

    appearance_weight: float = 5.0
    """weight of the appearance kernel"""
    theta_alpha: float = 50.0
    """appearance kernel: pixels"""
    theta_beta: float = 10.0
    """appearance kernel: gray levels of 0..255"""
    smoothness_weight: float = 3.0
    """weight of the smoothness kernel"""
    theta_gamma: float = 3.0
    """smoothness kernel: pixels"""
    num_iterations: int = 10
    """mean-field iterations T"""
    normalization: Literal["after", "before", "symmetric", "none"] = "after"
    """where the kernels are normalized; DeepLab divides after filtering"""

    def __str__(self) -> str:
        """The weight and bandwidths of the appearance kernel; those of the smoothness kernel."""
        appearance = f"w {self.appearance_weight:g}, {self.theta_alpha:g}, {self.theta_beta:g}"
        return f"{appearance}; w {self.smoothness_weight:g}, {self.theta_gamma:g}"

    def kernels(self) -> list[Kernel]:
        """The smoothness and the appearance kernel. Raises ValueError for a bandwidth that makes no sense."""
        from crfrnn.kernels import appearance_kernel, smoothness_kernel

        return [
            smoothness_kernel(self.theta_gamma, self.smoothness_weight),
            appearance_kernel(self.theta_alpha, self.theta_beta, self.appearance_weight),
        ]

    def build(self, num_labels: int, min_belief: float = 0.0, message_tolerance: float = 0.0) -> CRFRNN:
        """This CRF over `num_labels` labels, without gradients; the two options as of CRFRNN.

        Raises ValueError where a number makes no sense.
        """
        from crfrnn.meanfield import CRFRNN

        crf = CRFRNN(
            num_labels,
            self.kernels(),
            self.num_iterations,
            normalization=self.normalization,
            kernel_weights="scalar",
            compatibility="potts",
            min_belief=min_belief,
            message_tolerance=message_tolerance,
        )
        return crf.requires_grad_(False)


@dataclass(frozen=True)
class GridCRF:
    """A contrast-sensitive grid CRF: Potts penalties, one weight, every edge counted once with its weight."""

    weight: float
    theta_beta: float
    neighbors: int = 8
    num_iterations: int = 10

    def build(self, num_labels: int) -> CRFRNN:
        """This CRF over `num_labels` labels, without gradients. Raises ValueError where a parameter makes no sense."""
        from crfrnn.kernels import grid_kernel
        from crfrnn.meanfield import CRFRNN

        kernel = grid_kernel(self.neighbors, self.theta_beta, self.weight)  # type: ignore[arg-type]
        crf = CRFRNN(num_labels, [kernel], self.num_iterations, "none", "scalar")
        return crf.requires_grad_(False)


PARTS_CRF = FixedCRF(theta_alpha=13.0, theta_beta=3.0)
"""For parts of objects (Tsogkas et al. 2015, arXiv 1505.02438): positions reach a quarter as far"""
BBOX_SEG_CRF = FixedCRF(45.0, 37.0, 3.0, 15.0, 3.0)
"""For label maps made from boxes (Papandreou et al. 2015, arXiv 1502.02734); chosen on 100 images with full masks"""
MASKS = FixedCRF(1.0, 10.0, 5.0, 0.5, 1.0, num_iterations=5)
"""For masks of networks at stride 4 to 16; chosen by measurement, see eval/results"""
CRF_RNN = FixedCRF(5.0, 160.0, 3.0, 3.0, 3.0, num_iterations=5)
"""What the training of CRF-RNN begins with (Zheng et al. 2015)"""

PUBLISHED: dict[str, FixedCRF] = {
    "Kraehenbuehl & Koltun, code version 1": FixedCRF(10, 60, 20),
    "Kraehenbuehl & Koltun, code version 2": FixedCRF(10, 80, 13, num_iterations=5, normalization="symmetric"),
    "DeepLab": FixedCRF(5, 50, 10),
    "DeepLab-MSc": FixedCRF(3, 95, 3),
    "DeepLab-COCO": FixedCRF(5, 67, 3),
    "DeepLab-LargeFOV": FixedCRF(4, 121, 5),
    "DeepLab, default of the run script": FixedCRF(4, 49, 5),
    "CRF-RNN, initial": FixedCRF(5, 160, 3),
}
