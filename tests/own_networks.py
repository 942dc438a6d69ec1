"""Networks as users have them, by functions of the number of labels."""

import torch
import torch.nn as nn


def tiny(num_labels: int) -> nn.Module:
    """Scores for every fourth pixel, with batch normalization."""
    module = nn.Sequential()
    module.backbone = nn.Sequential(nn.Conv2d(3, 8, 5, 2, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    module.head = nn.Conv2d(8, num_labels, 1)
    module.input_scaling = "imagenet"
    return module


def lraspp(num_labels: int) -> nn.Module:
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    module = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=num_labels)
    module.input_scaling = "imagenet"
    return module


def deeplabv3(num_labels: int) -> nn.Module:
    from torchvision.models.segmentation import deeplabv3_resnet50

    module = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=num_labels)
    module.input_scaling = "imagenet"
    return module


def unet(num_labels: int) -> nn.Module:
    from segmentation_models_pytorch import Unet

    channels = (32, 16, 16, 8, 8)
    module = Unet("mobilenet_v2", encoder_weights=None, decoder_channels=channels, classes=num_labels)
    module.input_scaling, module.size_multiple = "imagenet", 32
    return module


class Strict(nn.Module):
    """A module that wants sides of multiples of 8, colors in -1..1, and groups its parameters itself."""

    input_scaling = "-1..1"

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 8, 8), nn.Conv2d(4, num_labels, 1)
        self.prior = nn.Parameter(torch.zeros(num_labels, 1, 1))
        self.seen: list[torch.Tensor] = []

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"backbone": [*self.first.parameters()], "head": [*self.last.parameters(), self.prior]}

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        if image.shape[2] % 8 or image.shape[3] % 8:
            raise RuntimeError(f"{list(image.shape)} is not divisible by 8")
        self.seen.append(image)
        return {"aux": image, "out": self.last(self.first(image)) + self.prior}
