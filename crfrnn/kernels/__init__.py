"""The kernels of the pair term: what they compare, how they are normalized, and how they are built for an image."""

from crfrnn.kernels.build import AnyKernels, Kernels, LatticeKernels, build_kernels
from crfrnn.kernels.kernel import IMAGE, Kernel, appearance_kernel, feature_kernel, grid_kernel, smoothness_kernel
from crfrnn.kernels.normalizers import Normalization

__all__ = [
    "IMAGE",
    "AnyKernels",
    "Kernel",
    "Kernels",
    "LatticeKernels",
    "Normalization",
    "appearance_kernel",
    "build_kernels",
    "feature_kernel",
    "grid_kernel",
    "smoothness_kernel",
]
