"""Ways to turn the unary scores of a network into labels: the rows of a table of results."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, grid_kernel, smoothness_kernel
from crfrnn.kernels import Normalization


@dataclass(frozen=True)
class Method:
    """One way to label images, giving one row of a table or several.

    Attributes:
        rows: names of the rows.
        logits: (unary [1, L, H, W], RGB image [1, 3, H, W] in 0..255) -> logits [1, L, H, W] of every row, in order.
    """

    rows: tuple[str, ...]
    logits: Callable[[Tensor, Tensor], Iterable[Tensor]]


def network_alone(name: str = "network") -> Method:
    """The labels that the unaries themselves prefer."""
    return Method((name,), lambda unary, image: (unary,))


def mean_field(crf: CRFRNN, rows: Mapping[int, str]) -> Method:
    """`crf` after every number of iterations T in `rows` (T -> name of its row).

    Many come from one run to the largest, step by step; for a few, runs of their own in one call each are faster.

    Raises ValueError where `rows` is empty or a T is negative.
    """
    names = dict(sorted(rows.items()))
    if not names or min(names) < 0:
        raise ValueError(f"got the numbers of iterations {list(names)}; wanted one or more, each 0 or above")

    few = sum(names) <= 2 * max(names)

    def logits(unary: Tensor, image: Tensor) -> Iterable[Tensor]:
        if few:
            yield from (crf(unary, image, num_iterations=iterations) for iterations in names)
            return
        for state in crf.iterate(unary, image, num_iterations=max(names)):
            if state.iteration in names:
                yield state.logits

    return Method(tuple(names.values()), logits)


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
