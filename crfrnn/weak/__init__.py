"""Weaker annotations: image labels, boxes and scribbles turned into targets for the labels of pixels."""

from crfrnn.weak.estep import adapted_scores, em_adapt, em_fixed, mil_peaks
from crfrnn.weak.presence import annotated_labels, box_labels
from crfrnn.weak.scribbles import Stroke, mask_scribbles, scribble_map, voc_scribbles
from crfrnn.weak.targets import core, rect_targets, seg_probabilities, seg_targets

__all__ = [
    "Stroke",
    "adapted_scores",
    "annotated_labels",
    "box_labels",
    "core",
    "em_adapt",
    "em_fixed",
    "mask_scribbles",
    "mil_peaks",
    "rect_targets",
    "scribble_map",
    "seg_probabilities",
    "seg_targets",
    "voc_scribbles",
]
