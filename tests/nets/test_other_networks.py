"""The CRF layer on networks that are not ours: raw image in, logits out, gradients all the way."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn._torchvision import torchvision

LABELS = 3


class Refined(nn.Module):
    """A network of torchvision's segmentation family with a CRF-RNN on top."""

    def __init__(self, network: nn.Module, crf: CRFRNN) -> None:
        super().__init__()
        self.network, self.crf = network, crf
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B, L, H, W] of raw RGB images [B, 3, H, W] in 0..255."""
        normalized = (image / 255 - self.mean) / self.std  # the network's own convention; the CRF gets the raw image
        return self.crf(self.network(normalized)["out"], image)


def crf() -> CRFRNN:
    return CRFRNN(LABELS, [smoothness_kernel(), appearance_kernel(theta_alpha=20, theta_beta=20)], num_iterations=2)


def check(model: nn.Module, body: nn.Module) -> None:
    image = 255 * torch.rand(2, 3, 33, 47)
    logits = model(image)
    assert logits.shape == (2, LABELS, 33, 47)
    F.cross_entropy(logits, torch.randint(LABELS, (2, 33, 47))).backward()
    silent = [name for name, p in body.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert silent == []


@pytest.mark.parametrize("name", ["fcn_resnet50", "deeplabv3_resnet50"])
def test_torchvision(name: str) -> None:
    build: Callable[..., nn.Module] = getattr(torchvision.models.segmentation, name)
    network = build(weights=None, weights_backbone=None, num_classes=LABELS)
    model = Refined(network, crf())
    check(model, nn.ModuleList([network.backbone.conv1, network.classifier[-1], model.crf.cell]))
    image = 255 * torch.rand(1, 3, 40, 30)
    with torch.no_grad():
        assert not torch.equal(model.eval()(image), network((image / 255 - model.mean) / model.std)["out"])


def test_a_toy_of_torch_nn() -> None:
    class Toy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, LABELS, 1))
            self.crf = crf()

        def forward(self, image: Tensor) -> Tensor:
            scores = self.body(image / 255)
            return self.crf(F.interpolate(scores, size=image.shape[-2:], mode="bilinear"), image)

    model = Toy()
    check(model, model)
