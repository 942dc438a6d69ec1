"""Weaker annotations: image labels and boxes turned into targets for the labels of pixels."""

from crfrnn.weak.estep import adapted_scores, em_adapt, em_fixed, mil_peaks
from crfrnn.weak.presence import box_labels, present_labels

__all__ = ["adapted_scores", "box_labels", "em_adapt", "em_fixed", "mil_peaks", "present_labels"]
