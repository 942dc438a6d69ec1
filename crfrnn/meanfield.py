"""Mean-field inference in a fully connected CRF, unrolled as a recurrent network.

The energy of a labeling x of N pixels (Kraehenbuehl & Koltun 2011, eq. 1-3) is

    E(x) = sum_i psi_u(x_i) + sum_{i<j} mu(x_i, x_j) sum_m w_m k_m(f_i, f_j),

and one iteration of mean field (Zheng et al. 2015, Algorithm 1) replaces the beliefs Q by

    Q_i  <-  softmax over labels of   unary_i - mu sum_m W_m (K_m Q)_i.

    symbol   variable        shape                    meaning
    U        unary           [B, N, L]                logits of the network: unary = -psi_u
    Q        beliefs         [B, N, L]                softmax over labels; Q starts as softmax(unary)
    K_m      kernels         M of them, [N, N]        normalized Gaussian kernels of the image
    W_m      kernel_weights  [M], [M, L], [M, L, L]   a number, one per label, or a matrix over labels
    mu       compatibility   [L, L]                   penalty for label l beside label l'; Potts: 1 - I

Unaries are logits, higher is likelier. The pair term is a penalty and is subtracted. The message of a pixel to itself
(j = i) is kept, as in the released codes, unless `exclude_self` drops it, as the formula says. K_m is filtered with
that of Adams, Baek & Davis 2010; see crfrnn/lattice/NOTES.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn as nn
from einops import einsum
from torch import Tensor

from crfrnn.checks import (
    check_call,
    check_settings,
    check_spacing,
    check_tolerance,
    named,
    refuse_transforms,
    warn_of_slips,
)
from crfrnn.fused.mean_field import label_matrices, mean_field
from crfrnn.kernels import IMAGE, AnyKernels, Kernel, Normalization, appearance_kernel, build_kernels, smoothness_kernel
from crfrnn.kernels.build import Spacing, in_form
from crfrnn.settings import Described
from crfrnn.solvers.checks import DEFAULTS, check_solver
from crfrnn.solvers.choice import choose
from crfrnn.solvers.frank_wolfe import Regularizer, Step
from crfrnn.solvers.implicit import fixed_point, need_gradient
from crfrnn.state import MeanFieldState, full_precision, hidden_labels, to_image, to_pixels, widened
from crfrnn.tracing import OpaqueLayer, is_opaque, refuse_script


def message_passing(beliefs: Tensor, kernels: AnyKernels, kernel_weights: Tensor) -> Tensor:
    """sum_m W_m K_m Q: every pixel hears what all others believe. [B, N, L] -> [B, N, L]."""
    return kernels.weighted_sum(beliefs, kernel_weights)


def compatibility_transform(messages: Tensor, compatibility: Tensor) -> Tensor:
    """P_i(l) = sum_l' mu(l, l') message_i(l'): what label l costs beside what was heard. [B, N, L] -> [B, N, L]."""
    return einsum(messages, compatibility, "batch pixel other, label other -> batch pixel label")


def local_update(unary: Tensor, penalty: Tensor) -> Tensor:
    """x_i = U_i - P_i. [B, N, L], [B, N, L] -> [B, N, L]."""
    return unary - penalty


def normalize(logits: Tensor) -> Tensor:
    """Q_i = softmax over labels of x_i. [B, N, L] -> [B, N, L]."""
    return logits.softmax(-1)


class MeanFieldCell(nn.Module):
    """One mean-field iteration and all that is learnable in it but the bandwidths.

    Attributes:
        kernel_weights: W, [M] or [M, L] or [M, L, L].
        compatibility: mu, [L, L].
    """

    def __init__(self, kernel_weights: Tensor, compatibility: Tensor) -> None:
        super().__init__()
        self.kernel_weights = nn.Parameter(kernel_weights)
        self.compatibility = nn.Parameter(compatibility)

    def penalty(self, beliefs: Tensor, kernels: AnyKernels) -> Tensor:
        """mu sum_m W_m K_m Q, the pair term as the labels of each pixel feel it: [B, N, L] -> [B, N, L]."""
        with full_precision(beliefs):
            messages = message_passing(beliefs, kernels, self.kernel_weights.to(beliefs))
            return compatibility_transform(messages, self.compatibility.to(beliefs))


class CRFRNN(Described):
    """A fully connected CRF as a recurrent layer: `logits = crf(unary, image)`. One cell serves every iteration.

    unary and logits are [B, L, *space], scores before a softmax; the image is [B, C, *space], raw 0..255. *space is H, W, or
    one to three axes. Thetas of positions are in pixels, or in the unit of `spacing`, those of colors in gray levels.

    Args:
        num_labels: L, at least 2.
        kernels: the pair term; by default CRF-RNN's, smoothness (theta_gamma 3, weight 3) and appearance
            (theta_alpha 160, theta_beta 3, weight 5).
        num_iterations: T where a call names none; 5 in training and 10 at test is customary.
        normalization: of every kernel: "after", "before", "symmetric" or "none".
        kernel_weights: the form of W_m: "scalar", "diagonal" (one weight per label) or "matrix" (L x L); each starts
            from the weight of its kernel.
        compatibility: "potts" for 1 - I, or a matrix [L, L] of penalties, row l for label l beside l'. Learnable, as the
            kernel weights are; freeze either with `requires_grad_(False)`.
        learn_bandwidths: learn the thetas, too (the logarithms of their changes, so that they stay positive).
        exclude_self: drop the message of a pixel to itself.
        filter: "lattice", linear in the pixels and approximate, or "exact", quadratic, for small images.
        dilate: a denser lattice: more accurate, several times slower.
        min_belief: leave out of the messages, image by image, the labels whose belief softmax(unary) stays below this at
            every pixel; all labels get their logits. Images hold few labels: it saves much time on the CPU where no
            gradient is wanted. 0 leaves out none.
        message_tolerance: in logits: pixels whose messages change by less than about this wait for the last iteration, which
            saves time on the CPU (see crfrnn/fused/incremental.py). No effect where a gradient is wanted, in `iterate`, with
            another solver or damping, and beside kernels that are no lattices. 0 lets no pixel wait; 0.01 is a good choice,
            and `residual` looks back.
        solver: "mean_field", or "frank_wolfe" for the same energy (see crfrnn/solvers).
        damping: of mean field: the share of the old logits that stays in each iteration. With "auto" the free energy never
            rises; messages pass through the symmetric part of the pair term, which is all that the free energy sees.
        regularizer, regularizer_weight: of Frank-Wolfe: "l2" for sparse beliefs, or "entropy".
        step: of Frank-Wolfe: a number up to 1, "standard" for 1, 2/3, 2/4, ..., or "line_search" for the least energy.
        gradient: "unrolled" through all iterations, or "implicit" at the fixed point of mean field: T is a limit then where
            a gradient is wanted, and iterations stop where a step changes no belief by more than `tolerance` (1e-3).
        learn_filter: learn the blur of every lattice, too, which begins as that of a Gaussian: a positive weight of the
            neighbors along each axis (see crfrnn/lattice/NOTES.md). Tuples of thetas say how many features a kernel has; a
            single theta stands for two spatial axes, or three colors.

    Raises TypeError or ValueError for arguments that make no sense.
    """

    def __init__(
        self,
        num_labels: int,
        kernels: Sequence[Kernel] | None = None,
        num_iterations: int = 5,
        normalization: Normalization = "after",
        kernel_weights: Literal["scalar", "diagonal", "matrix"] = "scalar",
        compatibility: Literal["potts"] | Tensor = "potts",
        learn_bandwidths: bool = False,
        exclude_self: bool = False,
        filter: Literal["lattice", "exact"] = "lattice",
        dilate: bool = False,
        min_belief: float = 0.0,
        message_tolerance: float = 0.0,
        solver: Literal["mean_field", "frank_wolfe"] = "mean_field",
        damping: float | Literal["auto"] = 0.0,
        regularizer: Regularizer = "l2",
        regularizer_weight: float = 1.0,
        step: Step = 1.0,
        gradient: Literal["unrolled", "implicit"] = "unrolled",
        learn_filter: bool = False,
    ) -> None:
        super().__init__()
        kernels = [smoothness_kernel(), appearance_kernel()] if kernels is None else kernels
        check_settings(
            num_labels, kernels, num_iterations, normalization, kernel_weights, compatibility, filter, min_belief,
            message_tolerance, learn_bandwidths=learn_bandwidths, exclude_self=exclude_self, dilate=dilate,
            learn_filter=learn_filter,
        )  # fmt: skip
        self.num_labels = int(num_labels)
        self.kernels = list(kernels)
        self.num_iterations = int(num_iterations)
        self.normalization = normalization
        self.exclude_self = exclude_self
        self.filter = filter
        self.dilate = dilate
        self.min_belief = min_belief
        self.message_tolerance = message_tolerance
        self.solver, self.damping, self.gradient = solver, damping, gradient
        self.regularizer, self.regularizer_weight, self.step = regularizer, regularizer_weight, step
        check_solver({name: getattr(self, name) for name in DEFAULTS})
        weights = torch.tensor([float(kernel.weight) for kernel in kernels])
        penalties = 1 - torch.eye(num_labels) if isinstance(compatibility, str) else compatibility.detach().clone()
        self.cell = MeanFieldCell(in_form(weights, kernel_weights, self.num_labels), penalties.to(weights))
        for m, kernel in enumerate(kernels):
            self.register_buffer(f"initial_bandwidths_{m}", torch.tensor(kernel.bandwidths))
        self.log_bandwidth_scales = nn.ParameterList(
            nn.Parameter(torch.zeros(len(kernel.bandwidths)), requires_grad=learn_bandwidths) for kernel in kernels
        )
        self.log_side_scales = nn.ParameterList(
            nn.Parameter(torch.zeros(kernel.num_lattice_axes or 0)) for kernel in kernels if learn_filter
        )
        self._warned = False

    def forward(
        self,
        unary: Tensor,
        image: Tensor | None = None,
        num_iterations: int | None = None,
        tolerance: float | None = None,
        features: Mapping[str, Tensor] | None = None,
        spacing: Spacing = None,
    ) -> Tensor:
        """Logits [B, L, *space] after the last iteration; the loss or the caller applies softmax once.

        Args:
            unary: logits [B, L, *space] of a network, floating point; computed with in float32 at least.
            image: [B, C, *space], raw 0..255, the same size as the unary; None where no kernel looks at it.
            num_iterations: T; None takes that of the layer, 0 returns the unary.
            tolerance: stop as soon as no belief in the batch changed by more than this, T being the limit.
            features: what `feature_kernel`s look at, [B, D, *space] by name.
            spacing: the distance of neighbors along each axis of *space (millimeters, seconds), in that order; by default 1.

        Gradients flow to unary, parameters, image and features. Raises TypeError or ValueError for input that does not
        fit, and warns once where the image is not in gray levels or the unary looks like probabilities.
        """
        iterations = self.num_iterations if num_iterations is None else num_iterations
        if is_opaque():
            return _TRACED(self, unary, image, iterations, tolerance, features, spacing)
        check_tolerance(tolerance)
        guides = self._guides(unary, image, iterations, features)
        unary = widened(unary)
        kernels = self.build_kernels(guides, unary, spacing)
        if iterations == 0:
            return unary
        if self.gradient == "implicit" and need_gradient(unary, *guides.values(), *self.parameters()):
            at_once = partial(self._at_once, unary, kernels)
            return fixed_point(choose(self, unary, kernels), unary, at_once, int(iterations), tolerance)
        logits = self._at_once(unary, kernels, int(iterations), tolerance)
        if logits is not None:
            return logits
        for state in self._iterate(unary, kernels, iterations):
            if tolerance is not None and bool((state.residual() <= tolerance).all()):
                break
        return state.logits

    if TYPE_CHECKING:  # that of torch.nn.Module returns Any
        __call__ = forward
    __prepare_scriptable__ = refuse_script

    def iterate(
        self,
        unary: Tensor,
        image: Tensor | None = None,
        num_iterations: int | None = None,
        features: Mapping[str, Tensor] | None = None,
        spacing: Spacing = None,
    ) -> Iterator[MeanFieldState]:
        """The states after 0, 1, ..., T iterations, one by one; arguments as of `forward`."""
        refuse_transforms("CRFRNN.iterate")
        iterations = self.num_iterations if num_iterations is None else num_iterations
        guides = self._guides(unary, image, iterations, features)
        unary = widened(unary)
        return self._iterate(unary, self.build_kernels(guides, unary, spacing), iterations)

    def _iterate(self, unary: Tensor, kernels: AnyKernels, iterations: int) -> Iterator[MeanFieldState]:
        """Zheng et al. 2015, Algorithm 1. Labels that `min_belief` leaves out have logits, and no belief."""
        image = partial(to_image, size=unary.shape[2:])
        hidden = hidden_labels(unary, self.min_belief)
        solver, unary = choose(self, unary, kernels), to_pixels(unary)
        state = partial(MeanFieldState, _unary=unary, _penalty=solver.penalty, _to_beliefs=solver.to_beliefs)

        logits, beliefs = unary, normalize(unary + hidden)
        yield state(0, image(logits), image(beliefs), None)
        for iteration in range(1, iterations + 1):
            previous = beliefs
            proposed = local_update(unary, solver.penalty(beliefs))
            logits, beliefs = solver.update(iteration, logits, beliefs, proposed)
            yield state(iteration, image(logits), image(beliefs), image(previous))

    def _at_once(self, unary: Tensor, kernels: AnyKernels, iterations: int, tolerance: float | None) -> Tensor | None:
        """What the last of `_iterate` gives, several times faster; None where there is no such code for it."""
        if self.solver != "mean_field" or self.damping != 0 or iterations == 0:
            return None
        waiting = self.message_tolerance if self.gradient == "unrolled" else 0.0
        with full_precision(unary):
            matrices = label_matrices(self.cell.compatibility.to(unary), self.cell.kernel_weights.to(unary))
            return mean_field(unary, kernels, matrices, iterations, tolerance, self.min_belief, waiting)

    def build_kernels(self, guides: Mapping[str, Tensor], like: Tensor, spacing: Spacing = None) -> AnyKernels:
        """The normalized kernels of a batch of images, for beliefs of the size, dtype and device of `like`."""
        check_spacing(spacing, like.ndim - 2)
        with full_precision(like):
            return build_kernels(
                self.kernels,
                [theta.to(like) for theta in self.bandwidths],
                {name: guide.to(like) for name, guide in guides.items()},
                like, normalization=self.normalization, exclude_self=self.exclude_self, exact=self.filter == "exact",
                dilate=self.dilate, spacing=spacing,
                side_weights=self.side_weights and [weights.to(like) for weights in self.side_weights],
            )  # fmt: skip

    def _guides(
        self, unary: Tensor, image: Tensor | None, iterations: int, features: Mapping[str, Tensor] | None
    ) -> dict[str, Tensor]:
        """Image and features by name, after everything a caller could have got wrong has been looked at."""
        guides = {**({} if image is None else {IMAGE: image}), **named(features)}
        check_call(unary, guides, iterations, self.num_labels, self.kernels)
        if not self._warned:
            self._warned = warn_of_slips(unary, guides, self.kernels)
        return guides


_TRACED = OpaqueLayer(CRFRNN)
