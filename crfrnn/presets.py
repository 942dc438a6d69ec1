"""The numbers of a dense CRF, and published sets of them.

DeepLab's are cross-validated, each for one network, and belong to normalization after filtering (Chen et al. 2015, released
settings by model); those of Kraehenbuehl & Koltun 2011 are the defaults of their code, version 1 and version 2 (which
pydensecrf wraps); those of CRF-RNN are what its training begins with (Zheng et al. 2015).
"""

from dataclasses import dataclass

from crfrnn.kernels import Normalization, appearance_kernel, grid_kernel, smoothness_kernel
from crfrnn.meanfield import CRFRNN


@dataclass(frozen=True)
class FixedCRF:
    """A fixed dense CRF behind the network, as in DeepLab: Potts, one weight per kernel, nothing learned."""

    w: float = 5.0
    """weight of the appearance kernel"""
    theta_alpha: float = 50.0
    """appearance kernel: pixels"""
    theta_beta: float = 10.0
    """appearance kernel: gray levels of 0..255"""
    smoothness_w: float = 3.0
    """weight of the smoothness kernel"""
    theta_gamma: float = 3.0
    """smoothness kernel: pixels"""
    num_iterations: int = 10
    """mean-field iterations T"""
    normalization: Normalization = "after"
    """where the kernels are normalized; DeepLab divides after filtering"""

    def build(self, num_labels: int, min_belief: float = 0.0) -> CRFRNN:
        """This CRF over `num_labels` labels, without gradients; `min_belief` as of CRFRNN.

        Raises ValueError where a parameter makes no sense.
        """
        crf = CRFRNN(
            num_labels,
            kernels=[
                smoothness_kernel(theta_gamma=self.theta_gamma, weight=self.smoothness_w),
                appearance_kernel(theta_alpha=self.theta_alpha, theta_beta=self.theta_beta, weight=self.w),
            ],
            num_iterations=self.num_iterations,
            normalization=self.normalization,
            kernel_weights="scalar",
            compatibility="potts",
            min_belief=min_belief,
        )
        return crf.requires_grad_(False)


@dataclass(frozen=True)
class GridCRF:
    """A contrast-sensitive grid CRF: Potts, one weight, nothing learned, every edge counted once with its weight."""

    weight: float
    theta_beta: float
    neighbors: int = 8
    num_iterations: int = 10

    def build(self, num_labels: int) -> CRFRNN:
        """This CRF over `num_labels` labels, without gradients. Raises ValueError where a parameter makes no sense."""
        kernel = grid_kernel(self.neighbors, self.theta_beta, self.weight)  # type: ignore[arg-type]
        crf = CRFRNN(num_labels, [kernel], self.num_iterations, "none", "scalar")
        return crf.requires_grad_(False)


PARTS_CRF = FixedCRF(theta_alpha=13.0, theta_beta=3.0)
"""For parts of objects (Tsogkas et al. 2015, arXiv 1505.02438): positions reach a quarter as far"""

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
