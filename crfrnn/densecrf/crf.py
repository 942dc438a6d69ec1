"""DenseCRF and DenseCRF2D: mean field with pydensecrf's names.

With energies U [L, N], kernels K_m and penalties W_m over labels (see `terms.penalty`), one iteration is

    Q_i  <-  softmax over labels of   -U_i - sum_m W_m (K_m Q)_i.

The message of a pixel to itself is kept, as in the code of Kraehenbuehl and Koltun.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from crfrnn.densecrf.arrays import as_matrix, as_tensor, bandwidths, check_finite, whole_number
from crfrnn.densecrf.eigen import MatrixXf
from crfrnn.densecrf.terms import DIAG_KERNEL, NORMALIZE_SYMMETRIC, Term, build, make_term
from crfrnn.densecrf.unary import ConstUnary, LogisticUnary, Unary
from crfrnn.fused import mean_field as fused
from crfrnn.kernels import LatticeKernels
from crfrnn.kernels.build import positions

Pairwise = tuple[LatticeKernels, Tensor]


def beliefs_after(logits: Tensor, pairwise: Pairwise | None, iterations: int, beliefs: Tensor | None = None) -> Tensor:
    """Beliefs [1, L, N] after some iterations from `beliefs`, softmax(logits) where there are none; logits [1, L, N]."""
    if not iterations:
        return logits.softmax(1) if beliefs is None else beliefs
    if pairwise is None:
        return logits.softmax(1)
    kernels, weights = pairwise
    matrices = fused.label_matrices(torch.eye(logits.shape[1]).to(logits), weights)
    fast = None if beliefs is not None else fused.mean_field(logits[..., None], kernels, matrices, iterations)
    if fast is not None:
        return fast[..., 0].softmax(1)
    unary, beliefs = _to_pixels(logits), _to_pixels(logits.softmax(1) if beliefs is None else beliefs)
    for _ in range(iterations):
        beliefs = (unary - kernels.weighted_sum(beliefs, weights)).softmax(-1)
    return rearrange(beliefs, "b n l -> b l n")


def _to_pixels(rows: Tensor) -> Tensor:
    """[1, L, N] -> [1, N, L], one row of labels per pixel."""
    return rearrange(rows, "b l n -> b n l").contiguous()


class DenseCRF:
    """A fully connected CRF over `nvar` points of any kind, with `nlabels` labels. With one label every belief is 1: a mask
    has two, [1 - p, p].

    Everything is computed in float32, on the device of the unary energies; results are numpy arrays. The kernels are
    built at the first inference after a term was added and serve all further ones, also with other unary energies.

    Methods raise TypeError or ValueError for arguments that do not fit.
    """

    def __init__(self, nvar: int, nlabels: int) -> None:
        self._nvar = whole_number("nvar", nvar, 1)
        self._nlabels = whole_number("nlabels", nlabels, 1)
        self._unary: Tensor | None = None
        self._terms: list[Term] = []
        self._pairwise: Pairwise | None = None

    def setUnaryEnergy(self, u: Any, f: Any = None) -> None:
        """Energies u [nlabels, nvar], -log p; with f, u f for weights u [nlabels, D] and features f [D, nvar]."""
        self.setUnary(ConstUnary(u) if f is None else LogisticUnary(u, f))

    def setUnary(self, u: Unary) -> None:
        """Energies as `ConstUnary` or `LogisticUnary`."""
        if not isinstance(u, Unary):
            raise TypeError(f"u is a {type(u).__name__}; wanted ConstUnary(u), or setUnaryEnergy(u) for an array")
        self._check_shape("the unary energy", u.energy)
        self._unary = -u.energy[None]

    def addPairwiseEnergy(
        self, features: Any, compat: Any, kernel: int = DIAG_KERNEL, normalization: int = NORMALIZE_SYMMETRIC
    ) -> None:
        """Add a term with k(i, j) = exp(-|f_i - f_j|^2 / 2), for features [D, nvar] in units of their bandwidths.

        Args:
            compat: what labels cost beside each other: a number (Potts), a vector (diagonal) or a matrix; mind the
                signs, see `terms.penalty`.
            kernel: CONST_KERNEL, DIAG_KERNEL or FULL_KERNEL, which all mean the same, see `KernelType`.
            normalization: NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER or NORMALIZE_SYMMETRIC.
        """
        matrix = as_matrix("features", features, "[D, nvar]")
        if matrix.shape[1] != self._nvar:
            hint = "; transpose them" if matrix.shape[0] == self._nvar else ""
            raise ValueError(f"features have shape {list(matrix.shape)}; wanted [D, {self._nvar}]{hint}")
        self._add(matrix.T.contiguous(), compat, kernel, normalization)

    def inference(self, niter: int) -> np.ndarray:
        """Beliefs [nlabels, nvar] after `niter` iterations of mean field; 0 gives softmax(-U)."""
        iterations = whole_number("niter", niter, 0)
        return self._iterate(iterations)[0].cpu().numpy()

    def startInference(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(Q, tmp1, tmp2) for `stepInference`: Q = softmax(-U) [nlabels, nvar], and two that are empty, for its sake."""
        return self.inference(0), MatrixXf(), MatrixXf()

    def stepInference(self, Q: Any, tmp1: Any = None, tmp2: Any = None) -> None:
        """One iteration of mean field, in place on Q [nlabels, nvar]; tmp1 and tmp2 are not looked at."""
        if not isinstance(Q, np.ndarray | Tensor):
            raise TypeError(f"Q is a {type(Q).__name__}; wanted the array that startInference() gave, or one like it")
        floating = Q.is_floating_point() if isinstance(Q, Tensor) else Q.dtype.kind == "f"
        if not floating:
            raise TypeError(f"Q is {Q.dtype}; wanted floating point, to be written to: Q.astype('float32')")
        if isinstance(Q, np.ndarray) and not Q.flags.writeable:
            raise ValueError("Q is read-only; stepInference writes to it: pass Q.copy()")
        after = self._iterate(1, self._beliefs(Q))[0]
        if isinstance(Q, Tensor):
            Q.detach().copy_(after)
        else:
            Q[...] = after.cpu().numpy()

    def klDivergence(self, Q: Any) -> float:
        """pydensecrf's number for beliefs Q [nlabels, nvar]: sum_i Q_i . (log Q_i + U_i + (sum_m W_m K_m Q)_i).

        It is not a divergence: log Z is missing, so that it may be negative, and the pair term counts every pair twice, so
        that it is not what mean field lowers. For that, `state.free_energy()` of `CRFRNN.iterate`.
        """
        beliefs, logits = self._beliefs(Q), self._logits()
        with _engine(logits.device):
            local = beliefs.clamp(min=1e-20).log() - logits
            pairwise = self._kernels()
            if pairwise is not None:
                costs = pairwise[0].weighted_sum(_to_pixels(beliefs), pairwise[1])
                local = local + rearrange(costs, "b n l -> b l n")
            return float((beliefs * local).cpu().double().sum())

    def _add(self, features: Tensor, compat: Any, kernel: int, normalization: int) -> None:
        self._terms.append(make_term(features, compat, kernel, normalization, self._nlabels))
        self._pairwise = None

    def _iterate(self, iterations: int, beliefs: Tensor | None = None) -> Tensor:
        logits = self._logits()
        with _engine(logits.device):
            return beliefs_after(logits, self._kernels() if iterations else None, iterations, beliefs)

    def _kernels(self) -> Pairwise | None:
        device = self._logits().device
        if self._terms and (self._pairwise is None or self._pairwise[1].device != device):
            self._pairwise = build(self._terms, device)
        return self._pairwise

    def _logits(self) -> Tensor:
        if self._unary is None:
            raise ValueError("the CRF has no unary energy; call setUnaryEnergy(u) before inference")
        return self._unary

    def _beliefs(self, Q: Any) -> Tensor:
        """Beliefs [nlabels, nvar] of a caller as [1, L, N] on the device of the unary."""
        beliefs = as_matrix("Q", Q, "[nlabels, nvar]")
        self._check_shape("Q", beliefs)
        check_finite("Q", beliefs, "wanted beliefs, as startInference() gives them")
        return beliefs[None].to(self._logits().device)

    def _check_shape(self, name: str, tensor: Tensor) -> None:
        wanted = (self._nlabels, self._nvar)
        if tensor.shape != wanted:
            hint = "; transpose it" if tensor.shape == wanted[::-1] else ""
            raise ValueError(f"{name} has shape {list(tensor.shape)}; wanted [nlabels, nvar] = {list(wanted)}{hint}")


class DenseCRF2D(DenseCRF):
    """The same over the pixels of an image, `w` pixels wide and `h` high, counted row by row. Mind the order: w, h."""

    def __init__(self, w: int, h: int, nlabels: int) -> None:
        self._w, self._h = whole_number("w", w, 1), whole_number("h", h, 1)
        super().__init__(self._w * self._h, nlabels)

    def addPairwiseGaussian(
        self, sxy: Any, compat: Any, kernel: int = DIAG_KERNEL, normalization: int = NORMALIZE_SYMMETRIC
    ) -> None:
        """Add smoothness: `sxy` in pixels, one number or (x, y); the others as in `addPairwiseEnergy`."""
        features = self._positions(torch.device("cpu")) / bandwidths("sxy", sxy, 2)
        self._add(features, compat, kernel, normalization)

    def addPairwiseBilateral(
        self, sxy: Any, srgb: Any, rgbim: Any, compat: Any,
        kernel: int = DIAG_KERNEL, normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:  # fmt: skip
        """Add appearance: `sxy` in pixels, `srgb` in gray levels, each one number or one per axis or channel.

        Args:
            rgbim: image [h, w, channels] in 0..255, of any numeric type and number of channels.
        """
        image = self._image(rgbim)
        place = self._positions(image.device) / bandwidths("sxy", sxy, 2).to(image.device)
        color = image / bandwidths("srgb", srgb, image.shape[1]).to(image.device)
        self._add(torch.cat([place, color], 1), compat, kernel, normalization)

    def _positions(self, device: torch.device) -> Tensor:
        """(x, y) [N, 2]."""
        return positions(self._h, self._w, torch.empty(0, device=device))

    def _image(self, rgbim: Any) -> Tensor:
        """An image as gray levels [N, channels]."""
        image = as_tensor("rgbim", rgbim)
        if image.ndim != 3 or image.shape[:2] != (self._h, self._w):
            raise ValueError(
                f"rgbim has shape {list(image.shape)}; wanted [h, w, channels] = [{self._h}, {self._w}, C], as "
                "DenseCRF2D(w, h, nlabels) was told; a gray image is image[..., None]"
            )
        check_finite("rgbim", image, "wanted gray levels of 0..255")
        low, high = float(image.min()), float(image.max())
        if low < 0 or high > 255:
            raise ValueError(
                f"rgbim reaches from {low:g} to {high:g}; wanted gray levels of 0..255. For other data, "
                "addPairwiseEnergy(create_pairwise_bilateral(...))"
            )
        if 0 < high <= 1 and getattr(rgbim, "dtype", None) not in (np.uint8, torch.uint8):
            warnings.warn(
                "rgbim lies in 0..1; srgb counts gray levels of 0..255, so pass the raw image (image * 255)",
                stacklevel=3,
            )
        return rearrange(image, "h w c -> (h w) c")


@contextmanager
def _engine(device: torch.device) -> Iterator[None]:
    """Without gradients, and without autocast, which would multiply label matrices in half precision."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield
