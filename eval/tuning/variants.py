"""The forms that the CRF of a network is learned in."""

from dataclasses import dataclass
from typing import Literal

from crfrnn import CRFRNN, Kernel, grid_kernel
from crfrnn.presets import CRF_RNN, FixedCRF

KernelNames = Literal["smoothness", "appearance", "both", "grid"]
KernelWeights = Literal["scalar", "diagonal", "matrix"]
Compatibility = Literal["potts", "symmetric", "free"]
Bandwidths = Literal["fixed", "learned"]
Solver = Literal["mean_field", "frank_wolfe"]
Damping = float | Literal["auto"]
Blur = Literal["gaussian", "learned"]


@dataclass(frozen=True)
class Variant:
    """Which parameters of a CRF are learned, in which form, and where learning begins."""

    kernels: KernelNames = "both"
    """smoothness, appearance or both; grid, between the 8 nearest pixels, is for the normalization none"""
    kernel_weights: KernelWeights = "scalar"
    """one weight per kernel, one per label, or a matrix over labels"""
    compatibility: Compatibility = "potts"
    """Potts as it is, or learned from there: symmetric, or any matrix"""
    bandwidths: Bandwidths = "fixed"
    """whether they are learned, too"""
    solver: Solver = "mean_field"
    """mean field, or regularized Frank-Wolfe (l2, whole steps)"""
    damping: Damping = 0.0
    """of mean field: the share of the old logits that stays in each iteration; auto never raises the free energy"""
    gradient: Literal["unrolled", "implicit"] = "unrolled"
    """through all iterations, or at the fixed point of mean field, T being a limit then"""
    start: FixedCRF = CRF_RNN
    """weights and bandwidths to start from, and what stays as it is: T while learning, normalization"""
    blur: Blur = "gaussian"
    """whether the blur of the lattices is learned, too, beginning as that of a Gaussian"""

    def pair_term(self) -> list[Kernel]:
        """The kernels by name."""
        smoothness, appearance = self.start.kernels()
        return {
            "smoothness": [smoothness],
            "appearance": [appearance],
            "both": [smoothness, appearance],
            "grid": [grid_kernel(weight=self.start.appearance_weight)],
        }[self.kernels]

    def build(self, num_labels: int) -> CRFRNN:
        """The layer as it begins. Raises ValueError where a parameter makes no sense."""
        crf = CRFRNN(
            num_labels,
            kernels=self.pair_term(),
            num_iterations=self.start.num_iterations,
            normalization=self.start.normalization,
            kernel_weights=self.kernel_weights,
            learn_bandwidths=self.bandwidths == "learned",
            solver=self.solver,
            damping=self.damping,
            gradient=self.gradient,
            learn_filter=self.blur == "learned",
        )
        crf.cell.compatibility.requires_grad_(self.compatibility != "potts")
        return crf
