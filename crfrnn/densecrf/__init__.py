"""pydensecrf's interface over this project's engine: `import crfrnn.densecrf as dcrf` is the whole migration.

Names, arguments, shapes and constants are those of pydensecrf (the wrapper of Kraehenbuehl & Koltun's code), and so are
the results. This module also takes what pydensecrf refuses: float64, read-only and non-contiguous arrays, images of any
numeric type and number of channels, torch tensors on any device. Where pydensecrf crashes or is silently wrong, it raises an
error.

Energies, as in pydensecrf: lower is likelier, U = -log p. Everywhere else in this project unaries are logits.
"""

from crfrnn.densecrf import eigen
from crfrnn.densecrf.batches import batched
from crfrnn.densecrf.crf import DenseCRF, DenseCRF2D
from crfrnn.densecrf.terms import (
    CONST_KERNEL,
    DIAG_KERNEL,
    FULL_KERNEL,
    NO_NORMALIZATION,
    NORMALIZE_AFTER,
    NORMALIZE_BEFORE,
    NORMALIZE_SYMMETRIC,
    KernelType,
    NormalizationType,
)
from crfrnn.densecrf.unary import ConstUnary, LogisticUnary, Unary
from crfrnn.densecrf.utils import (
    compute_unary,
    create_pairwise_bilateral,
    create_pairwise_gaussian,
    softmax_to_unary,
    unary_from_labels,
    unary_from_softmax,
)

__all__ = [
    "CONST_KERNEL",
    "DIAG_KERNEL",
    "FULL_KERNEL",
    "NORMALIZE_AFTER",
    "NORMALIZE_BEFORE",
    "NORMALIZE_SYMMETRIC",
    "NO_NORMALIZATION",
    "ConstUnary",
    "DenseCRF",
    "DenseCRF2D",
    "KernelType",
    "LogisticUnary",
    "NormalizationType",
    "Unary",
    "batched",
    "compute_unary",
    "create_pairwise_bilateral",
    "create_pairwise_gaussian",
    "eigen",
    "softmax_to_unary",
    "unary_from_labels",
    "unary_from_softmax",
]
