"""Losses made of the kernels of the CRF: they ask like pixels for like labels where no label is known."""

from crfrnn.losses.dense_crf import dense_crf_loss
from crfrnn.losses.normalized_cut import normalized_cut_loss
from crfrnn.losses.released import energy_gated_loss, rloss
from crfrnn.losses.windowed import windowed_crf_loss

__all__ = ["dense_crf_loss", "energy_gated_loss", "normalized_cut_loss", "rloss", "windowed_crf_loss"]
