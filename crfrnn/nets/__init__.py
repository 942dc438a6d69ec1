"""Atrous VGG-16 networks, their assembly with the CRF-RNN, and weights in and out."""

from crfrnn.nets.assembly import NETWORKS, SegmentationModel, build_model
from crfrnn.nets.checkpoint import load_checkpoint, model_from_checkpoint, save_checkpoint
from crfrnn.nets.vgg import LargeFOV
from crfrnn.nets.weights import load_imagenet

__all__ = [
    "NETWORKS",
    "LargeFOV",
    "SegmentationModel",
    "build_model",
    "load_checkpoint",
    "load_imagenet",
    "model_from_checkpoint",
    "save_checkpoint",
]
