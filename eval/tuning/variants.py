"""The forms that the CRF of a network is learned in."""

from dataclasses import dataclass
from typing import Literal

from crfrnn import CRFRNN, Kernel, appearance_kernel, grid_kernel, smoothness_kernel
from crfrnn.kernels import Normalization
from eval.tuning.search_grid import Cell

KernelNames = Literal["smoothness", "appearance", "both", "grid"]
KernelWeights = Literal["scalar", "diagonal", "matrix"]
Compatibility = Literal["potts", "symmetric", "free"]
Bandwidths = Literal["fixed", "learned"]
CRF_RNN = Cell(5.0, 160.0, 3.0, 3.0, 3.0)


@dataclass(frozen=True)
class Variant:
    """What of a CRF is learned, in what form, and where it begins."""

    kernels: KernelNames = "both"
    kernel_weights: KernelWeights = "scalar"
    """one weight per kernel, one per label, or a matrix over labels"""
    compatibility: Compatibility = "potts"
    """Potts as it is, or learned from there: symmetric, or any matrix"""
    normalization: Normalization = "after"
    bandwidths: Bandwidths = "fixed"
    num_iterations: int = 5
    """mean-field iterations T while learning"""
    start: Cell = CRF_RNN
    """weights and bandwidths in the beginning"""

    def pair_term(self) -> list[Kernel]:
        """The kernels by name."""
        smoothness = smoothness_kernel(self.start.theta_gamma, self.start.smoothness_w)
        appearance = appearance_kernel(self.start.theta_alpha, self.start.theta_beta, self.start.w)
        return {
            "smoothness": [smoothness],
            "appearance": [appearance],
            "both": [smoothness, appearance],
            "grid": [grid_kernel(weight=self.start.w)],
        }[self.kernels]

    def build(self, num_labels: int) -> CRFRNN:
        """The layer as it begins. Raises ValueError where a parameter makes no sense."""
        crf = CRFRNN(
            num_labels,
            kernels=self.pair_term(),
            num_iterations=self.num_iterations,
            normalization=self.normalization,
            kernel_weights=self.kernel_weights,
            learn_bandwidths=self.bandwidths == "learned",
        )
        crf.cell.compatibility.requires_grad_(self.compatibility != "potts")
        return crf
