"""One dense CRF under every solver: the rows of a table, and what they are compared by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from crfrnn import CRFRNN, MeanFieldState
from crfrnn.presets import FixedCRF

CRF = FixedCRF(4, 49, 5, 3, 3, 10, "symmetric")
"""Found by cross-validation on DeepLab's scores; its normalization makes the free energy the one that mean field lowers"""
REFERENCE = "mean field"
LONG = 50
"""iterations of the row that shows where mean field settles"""
ROWS: dict[str, dict[str, Any]] = {
    REFERENCE: {},
    f"mean field, T = {LONG}": {"num_iterations": LONG},
    "damping 0.5": {"damping": 0.5},
    "damping auto": {"damping": "auto"},
    "Frank-Wolfe, l2, whole steps": {"solver": "frank_wolfe"},
    "Frank-Wolfe, l2, standard steps": {"solver": "frank_wolfe", "step": "standard"},
    "Frank-Wolfe, l2, line search": {"solver": "frank_wolfe", "step": "line_search"},
    "Frank-Wolfe, entropy, line search": {"solver": "frank_wolfe", "regularizer": "entropy", "step": "line_search"},
}
"""arguments of `CRFRNN` by the name of the row"""
COLUMNS = {"free_energy": ("free energy\nper pixel", 4), "equal_labels": ("labels of\nmean field", 2)}
"""by the name of a figure: its header and its decimals"""


def solver_layers(crf: FixedCRF, num_labels: int) -> dict[str, CRFRNN]:
    """The layers of all rows, without gradients."""
    settings = crf.build(num_labels).settings()
    return {
        name: CRFRNN.from_settings({**settings, **arguments}).requires_grad_(False) for name, arguments in ROWS.items()
    }


class Comparison:
    """What results for one image are compared by: the free energy, and the labels of mean field.

    Args:
        crf: mean field, and whose free energy it is.
        unary, image: [1, L, H, W], [1, 3, H, W].
    """

    def __init__(self, crf: CRFRNN, unary: Tensor, image: Tensor) -> None:
        self._state: MeanFieldState = next(crf.iterate(unary, image, 0))
        self._labels = crf(unary, image).argmax(1)

    def figures(self, logits: Tensor) -> dict[str, float]:
        """Those in COLUMNS, of the beliefs softmax(logits)."""
        energy = replace(self._state, beliefs=logits.softmax(1)).free_energy()
        equal = (logits.argmax(1) == self._labels).to(torch.float64).mean()
        return {"free_energy": float(energy) / self._labels.numel(), "equal_labels": 100 * float(equal)}
