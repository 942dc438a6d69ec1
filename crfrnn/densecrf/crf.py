"""DenseCRF and DenseCRF2D: mean field with pydensecrf's names.

With energies U [L, N], kernels K_m and penalties W_m over labels (see `terms.penalty`), one iteration is

    Q_i  <-  softmax over labels of   -U_i - sum_m W_m (K_m Q)_i.

The message of a pixel to itself is kept, as in the code of Kraehenbuehl and Koltun.
"""

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crfrnn._numbers import check_message_tolerance, usable_device, whole_number
from crfrnn.densecrf.arrays import as_matrix, as_tensor, bandwidths, check_finite
from crfrnn.densecrf.eigen import MatrixXf
from crfrnn.densecrf.inference import Pairwise, build_pairwise
from crfrnn.densecrf.points import ColoredPixels, FeaturePoints, Pixels, Points
from crfrnn.densecrf.terms import DIAG_KERNEL, NORMALIZE_SYMMETRIC, Term, make_term
from crfrnn.densecrf.unary import ConstUnary, LogisticUnary, Unary
from crfrnn.lattice.checks import extremes

NOT_FINITE = "Q holds NaN or infinite entries; wanted beliefs, such as startInference() returns"


class DenseCRF:
    """A fully connected CRF with `nlabels` labels over `nvar` points of any kind.

    Computes in float32 on `device`, by default that of the unary energies, and returns NumPy arrays. The first inference
    after a term is added builds the kernels; later ones reuse them, even with other unary energies. With a single label
    every belief is 1, as in pydensecrf: a mask needs two labels, [1 - p, p].

    Methods raise TypeError or ValueError for arguments that do not fit.
    """

    def __init__(self, nvar: int, nlabels: int, *, device: str | torch.device | None = None) -> None:
        self._nvar = whole_number("nvar", nvar, 1)
        self._device = usable_device(device)
        self._nlabels = whole_number("nlabels", nlabels, 1)
        self._unary: Tensor | None = None
        self._terms: list[Term] = []
        self._pairwise: Pairwise | None = None

    def setUnaryEnergy(self, u: Any, f: Any = None) -> None:
        """Set energies u [nlabels, nvar], -log p; or u f, for weights u [nlabels, D] and features f [D, nvar]."""
        self._set_unary(ConstUnary(u) if f is None else LogisticUnary(u, f))

    def setUnary(self, u: Unary) -> None:
        """Set energies that come as `ConstUnary` or `LogisticUnary`."""
        if not isinstance(u, Unary):
            raise TypeError(f"u is a {type(u).__name__}; wanted ConstUnary(u), or setUnaryEnergy(u) for an array")
        self._set_unary(u)

    def addPairwiseEnergy(
        self, features: Any, compat: Any, kernel: int = DIAG_KERNEL, normalization: int = NORMALIZE_SYMMETRIC
    ) -> None:
        """Add a term with k(i, j) = exp(-|f_i - f_j|^2 / 2), for features [D, nvar] in units of their bandwidths.

        Args:
            compat: the cost of two labels beside each other: a number (Potts), a vector (diagonal) or a matrix. For the
                signs, see `terms.penalty`.
            kernel: CONST_KERNEL, DIAG_KERNEL or FULL_KERNEL, which all mean the same (see `KernelType`).
            normalization: NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER or NORMALIZE_SYMMETRIC.
        """
        matrix = as_matrix("features", features, "[D, nvar]")
        if matrix.shape[1] != self._nvar:
            hint = "; transpose them" if matrix.shape[0] == self._nvar else ""
            raise ValueError(f"features have shape {list(matrix.shape)}; wanted [D, {self._nvar}]{hint}")
        check_finite("features", matrix, "look for a bandwidth of 0 or an invalid pixel")
        self._add(FeaturePoints(matrix.T.contiguous()), compat, kernel, normalization)

    def inference(self, niter: int, *, message_tolerance: float = 0.0) -> np.ndarray:
        """Beliefs [nlabels, nvar] after `niter` iterations of mean field; 0 gives softmax(-U).

        Not in pydensecrf: with a `message_tolerance`, in logits, points whose messages change by less than about this wait
        for the last iteration, which saves time on the CPU; see `CRFRNN`. 0.01 is a good choice.
        """
        iterations = whole_number("niter", niter, 0)
        check_message_tolerance(message_tolerance)
        logits = self._logits()
        if iterations == 0:
            return logits.softmax(0).cpu().numpy()
        return self._kernels().beliefs_after(logits, iterations, message_tolerance).cpu().numpy()

    def startInference(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(Q, tmp1, tmp2) for `stepInference`: Q = softmax(-U) [nlabels, nvar] and two empty arrays, as in pydensecrf."""
        # In memory, the labels of a point stand side by side, in the order in which steps filter them.
        return np.asfortranarray(self.inference(0)), MatrixXf(), MatrixXf()

    def stepInference(self, Q: Any, tmp1: Any = None, tmp2: Any = None) -> None:
        """One iteration of mean field, in place on Q [nlabels, nvar]; tmp1 and tmp2 are ignored."""
        if not isinstance(Q, np.ndarray | Tensor):
            raise TypeError(
                f"Q is a {type(Q).__name__}; wanted the array that startInference() returned, or one like it"
            )
        floating = Q.is_floating_point() if isinstance(Q, Tensor) else Q.dtype.kind == "f"
        if not floating:
            raise TypeError(
                f"Q is {Q.dtype}; wanted floating point, because stepInference writes to it: Q.astype('float32')"
            )
        if isinstance(Q, np.ndarray) and not Q.flags.writeable:
            raise ValueError("Q is read-only; stepInference writes to it: pass Q.copy()")
        rows = self._belief_rows(Q)
        if not self._kernels().step(self._logits(), rows):
            raise ValueError(NOT_FINITE)
        if isinstance(Q, Tensor):
            Q.detach().copy_(rows.T)
        elif rows.data_ptr() != Q.ctypes.data:
            Q[...] = rows.cpu().numpy().T

    def klDivergence(self, Q: Any) -> float:
        """pydensecrf's number for beliefs Q [nlabels, nvar]: sum_i Q_i . (log Q_i + U_i + (sum_m W_m K_m Q)_i).

        It is not a divergence: log Z is missing, so it can be negative. Nor is it what mean field lowers, because it counts
        every pair twice; `state.free_energy()` of `CRFRNN.iterate` is.
        """
        value = self._kernels().divergence(self._logits(), self._belief_rows(Q))
        if value is None:
            raise ValueError(NOT_FINITE)
        return value

    def __getstate__(self) -> dict[str, Any]:
        """Without the kernels, which may lie in memory of compiled code; they are built again where they are needed."""
        return {**self.__dict__, "_pairwise": None}

    def _set_unary(self, u: Unary) -> None:
        self._check_shape("the unary energy", u.energy)
        if u.are_probabilities():
            warnings.warn(
                "the unary energies lie in 0..1 and sum to 1 over the labels, as probabilities do; wanted energies, -log p: "
                "take the negative logarithm, or call unary_from_softmax(p)",
                stacklevel=3,
            )
        energy = u.energy.to(self._device or u.energy.device)
        if self._unary is not None and self._unary.device != energy.device:
            self._pairwise = None
        self._unary = -energy

    def _add(self, points: Points, compat: Any, kernel: int, normalization: int) -> None:
        self._terms.append(make_term(points, compat, kernel, normalization, self._nlabels))
        self._pairwise = None

    def _kernels(self) -> Pairwise:
        logits = self._logits()
        if self._pairwise is None:
            self._pairwise = build_pairwise(self._terms, self._nlabels, self._nvar, logits.device)
        return self._pairwise

    def _logits(self) -> Tensor:
        """-U [L, N]."""
        if self._unary is None:
            raise ValueError("the CRF has no unary energy; call setUnaryEnergy(u) before inference")
        return self._unary

    def _belief_rows(self, Q: Any) -> Tensor:
        """Beliefs [nlabels, nvar] of a caller as [N, L] on the device of the unary, the same memory where it can be."""
        given = Q if isinstance(Q, Tensor) else np.asanyarray(Q)
        if given.ndim == 2:
            self._check_shape("Q", given)
            given = given.T
        if type(given) is np.ndarray and given.dtype == np.float32 and given.flags.carray and given.ndim == 2:
            rows = torch.from_numpy(given)
        else:
            rows = as_matrix("Q", given, "[nlabels, nvar]")
        return rows.to(self._logits().device)

    def _check_shape(self, name: str, tensor: np.ndarray | Tensor) -> None:
        wanted = (self._nlabels, self._nvar)
        if tensor.shape != wanted:
            hint = "; transpose it" if tensor.shape == wanted[::-1] else ""
            raise ValueError(f"{name} has shape {list(tensor.shape)}; wanted [nlabels, nvar] = {list(wanted)}{hint}")


class DenseCRF2D(DenseCRF):
    """A DenseCRF over the pixels of an image, row by row. Mind the order of the arguments: width, then height."""

    def __init__(self, w: int, h: int, nlabels: int, *, device: str | torch.device | None = None) -> None:
        self._w, self._h = whole_number("w", w, 1), whole_number("h", h, 1)
        super().__init__(self._w * self._h, nlabels, device=device)

    def addPairwiseGaussian(
        self, sxy: Any, compat: Any, kernel: int = DIAG_KERNEL, normalization: int = NORMALIZE_SYMMETRIC
    ) -> None:
        """Add a smoothness term: `sxy` in pixels, one number or (x, y). For the others, see `addPairwiseEnergy`."""
        x, y = bandwidths("sxy", sxy, 2)
        self._add(Pixels(self._h, self._w, (x, y)), compat, kernel, normalization)

    def addPairwiseBilateral(
        self, sxy: Any, srgb: Any, rgbim: Any, compat: Any,
        kernel: int = DIAG_KERNEL, normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:  # fmt: skip
        """Add an appearance term: `sxy` in pixels, `srgb` in gray levels, each one number or one per axis or channel.

        Args:
            rgbim: image [h, w, channels] in 0..255, of any numeric type and number of channels.
        """
        image = self._image(rgbim)
        thetas = [*bandwidths("sxy", sxy, 2), *bandwidths("srgb", srgb, image.shape[2])]
        self._add(ColoredPixels(image, thetas), compat, kernel, normalization)

    def _image(self, rgbim: Any) -> Tensor:
        """An image as gray levels [h, w, channels]."""
        image = as_tensor("rgbim", rgbim)
        if image.ndim != 3 or image.shape[:2] != (self._h, self._w) or image.shape[2] == 0:
            raise ValueError(
                f"rgbim has shape {list(image.shape)}; wanted [h, w, channels] = [{self._h}, {self._w}, C], as "
                "DenseCRF2D(w, h, nlabels) was told; a gray image is image[..., None]"
            )
        low, high = extremes(image).tolist()
        if not math.isfinite(high - low):
            raise ValueError("rgbim holds NaN or infinite entries; wanted gray levels of 0..255")
        if low < 0 or high > 255:
            raise ValueError(
                f"rgbim reaches from {low:g} to {high:g}; wanted gray levels of 0..255. For other data, use "
                "addPairwiseEnergy(create_pairwise_bilateral(...))"
            )
        if 0 < high <= 1 and getattr(rgbim, "dtype", None) not in (np.uint8, torch.uint8):
            warnings.warn(
                "rgbim lies in 0..1; srgb counts gray levels of 0..255, so pass the raw image (image * 255)",
                stacklevel=3,
            )
        return image
