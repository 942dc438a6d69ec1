"""Weights in and out: checkpoints, and published files in their own formats with the changes that make them fit."""

from crfrnn.nets.weights.checkpoint import load_checkpoint, look_for_weights, model_from_checkpoint, save_checkpoint
from crfrnn.nets.weights.imagenet import load_imagenet
from crfrnn.nets.weights.loading import label_groups, load_tensors, start_from

__all__ = [
    "label_groups",
    "load_checkpoint",
    "load_imagenet",
    "load_tensors",
    "look_for_weights",
    "model_from_checkpoint",
    "save_checkpoint",
    "start_from",
]
