"""DeepLab, FCN and networks of your own, their assembly with the CRF-RNN, and weights in and out."""

from crfrnn.nets.assembly import NETWORKS, SegmentationModel, build_model
from crfrnn.nets.deeplab import DeepLab, DeepLabMSc
from crfrnn.nets.fcn import FCN
from crfrnn.nets.functions import NetworkFunction
from crfrnn.nets.guide import LEARNED, GuidedCRF
from crfrnn.nets.inference import infer, restrict
from crfrnn.nets.mobilenet import DeepLabV3MobileNetV2
from crfrnn.nets.own import OwnNetwork
from crfrnn.nets.receptive_field import parameter_count, receptive_field
from crfrnn.nets.weights import (
    label_groups,
    load_checkpoint,
    load_imagenet,
    load_tensors,
    look_for_weights,
    model_from_checkpoint,
    save_checkpoint,
    start_from,
)

__all__ = [
    "FCN",
    "LEARNED",
    "NETWORKS",
    "DeepLab",
    "DeepLabMSc",
    "DeepLabV3MobileNetV2",
    "GuidedCRF",
    "NetworkFunction",
    "OwnNetwork",
    "SegmentationModel",
    "build_model",
    "infer",
    "label_groups",
    "load_checkpoint",
    "load_imagenet",
    "load_tensors",
    "look_for_weights",
    "model_from_checkpoint",
    "parameter_count",
    "receptive_field",
    "restrict",
    "save_checkpoint",
    "start_from",
]
