"""Problems for the fused mean field, the loop in plain torch beside it, and how often it was used."""

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, native, smoothness_kernel
from crfrnn.fused.mean_field import mean_field

# Exact in float32, and such that no pixel lies where simplices meet by anything but its zeros.
GAMMA, ALPHA, BETA = 1.3125, 4.1875, 61.0
KERNELS = (smoothness_kernel(GAMMA, weight=0.75), appearance_kernel(ALPHA, BETA, weight=1.25))
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}


def count_runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets one entry for every run of the fused code by a layer."""
    seen: list[int] = []

    def counted(*arguments: object) -> Tensor | None:
        logits = mean_field(*arguments)
        if logits is not None:
            seen.append(1)
        return logits

    monkeypatch.setattr("crfrnn.meanfield.mean_field", counted)
    return seen


def problem(
    labels: int, batch: int = 1, height: int = 5, width: int = 6, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    return 2 * torch.randn(batch, labels, height, width, dtype=dtype), 255 * torch.rand(
        batch, 3, height, width, dtype=dtype
    )


def layer(labels: int, compatibility: str = "potts", form: str = "scalar", normalization: str = "after") -> CRFRNN:
    """A float64 layer whose kernel weights and penalties have the structure named, and are in no way special else."""
    if compatibility == "potts":
        mu: Tensor = 1 - torch.eye(labels)
    elif compatibility == "free":
        mu = torch.randn(labels, labels)
    else:  # one penalty for each row or column, but for the diagonal
        mu = torch.randn(labels, 1).expand(labels, labels) + torch.diag(torch.randn(labels))
        mu = mu if compatibility == "rows" else mu.T
    crf = CRFRNN(labels, KERNELS, normalization=normalization, kernel_weights=form, compatibility=mu).double()
    with torch.no_grad():
        crf.cell.kernel_weights += 0.3 * torch.randn_like(crf.cell.kernel_weights)
        # Raw sums over many neighbors would saturate the beliefs.
        crf.cell.kernel_weights *= 0.1 if normalization == "none" else 1
    return crf


def in_torch(crf: CRFRNN, unary: Tensor, image: Tensor, **options: object) -> Tensor:
    with native.disabled():
        return crf(unary, image, **options)


def assert_close(got: Tensor, wanted: Tensor, name: str = "logits") -> None:
    bound = TOLERANCES[wanted.dtype] * max(1, wanted.abs().max().item())
    torch.testing.assert_close(got, wanted, rtol=0, atol=bound, msg=lambda text: f"{name}: {text}")
