"""Losses of the kernels of the CRF, which ask like pixels for like labels where none is known, and losses of overlap."""

from crfrnn.losses.dense_crf import dense_crf_loss
from crfrnn.losses.normalized_cut import normalized_cut_loss
from crfrnn.losses.overlap import lovasz_softmax_loss, soft_jaccard_loss
from crfrnn.losses.released import energy_gated_loss, rloss
from crfrnn.losses.windowed import windowed_crf_loss

__all__ = [
    "dense_crf_loss",
    "energy_gated_loss",
    "lovasz_softmax_loss",
    "normalized_cut_loss",
    "rloss",
    "soft_jaccard_loss",
    "windowed_crf_loss",
]
