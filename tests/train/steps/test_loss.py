"""The loss against a pixel loop over probabilities, and what a frozen network does."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.data import MEAN_RGB
from crfrnn.losses import dense_crf_loss
from crfrnn.nets import SegmentationModel, build_model
from crfrnn.weak import annotated_labels
from train.recipes import CrfLoss, EStep, Source
from train.steps.loss import StageLoss, counted, term_weights
from train.steps.stream import Batch

PIXELS = Source(count=1, split="")
IMAGE = Source(count=1, split="", annotation="image")
BOXES = Source(count=1, split="", annotation="boxes", e_step=EStep("em-fixed", 6.0, 5.0))


def batch_of(labels: Tensor, sources: list[int] | None = None) -> Batch:
    """Random images of these labels [B, H, W]."""
    count = len(labels)
    return Batch(
        255 * torch.rand(count, 3, *labels.shape[1:]),
        labels,
        annotated_labels(labels, 255),
        torch.ones(count, 255, dtype=torch.bool),
        torch.arange(count),
        torch.tensor(sources or [0] * count),
        ["a"] * count,
    )


def sums(loss: StageLoss, batch: Batch) -> Tensor:
    return loss(*batch[:-1])


def by_hand(probabilities: Tensor, labels: Tensor, stride: int) -> tuple[float, int]:
    total, count = 0.0, 0
    for i in range(0, labels.shape[1], stride):
        for j in range(0, labels.shape[2], stride):
            if labels[0, i, j] != 255:
                total -= math.log(probabilities[0, labels[0, i, j], i, j])
                count += 1
    return total, count


@pytest.mark.parametrize(("stride", "crf"), [(8, False), (1, False), (4, True), (8, True)])
def test_sum_of_the_cross_entropy_over_what_is_not_void(stride: int, crf: bool) -> None:
    layer = CRFRNN(3, [smoothness_kernel(1.0, 0.5)], 2) if crf else None
    model = build_model(num_labels=3, width=0.02, dropout=0.0, crf=layer)
    loss = StageLoss(model, stride).train()
    labels = torch.randint(3, (1, 17, 25))
    labels[0, 8] = 255
    batch = batch_of(labels)
    expected, count = by_hand(model(batch.images).softmax(1).detach(), labels, stride)
    assert counted(batch, stride).tolist() == [count]
    assert float(sums(loss, batch).detach()) == pytest.approx(expected, rel=1e-4)


def test_a_frozen_network_runs_as_at_test_time() -> None:
    model = build_model(num_labels=3, width=0.02, dropout=0.9, crf=CRFRNN(3, [smoothness_kernel(1.0, 1.0)], 1))
    model.network.requires_grad_(False)
    loss = StageLoss(model, 1).train()
    assert not model.network.training
    assert model.crf.training
    batch = batch_of(torch.randint(3, (1, 17, 17)))
    first, second = sums(loss, batch), sums(loss, batch)
    assert first == second  # no dropout
    first.sum().backward()
    assert model.crf.cell.compatibility.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.network.parameters())


def network(**more: object) -> SegmentationModel:
    model = build_model(num_labels=3, width=0.02, dropout=0.0, **more)
    torch.nn.init.normal_(model.network.fc8.weight)
    return model


def test_every_source_has_its_sum() -> None:
    """Boxes between two images with masks: each is as if it were alone."""
    labels = torch.randint(3, (3, 17, 17))
    labels[1, 9:] = 255
    batch = batch_of(labels, [0, 1, 0])
    model = network()
    got = sums(StageLoss(model, 8, [PIXELS, BOXES]).train(), batch)
    masks, boxes = (Batch(*(tensor[own] for tensor in batch[:-1]), []) for own in ([0, 2], [1]))
    alone = sums(StageLoss(model, 8, [PIXELS]).train(), masks)
    boxes = boxes._replace(source_of=torch.tensor([0]))
    other = sums(StageLoss(model, 8, [BOXES]).train(), boxes)
    torch.testing.assert_close(got, torch.cat([alone, other]))
    assert counted(batch, 8, [PIXELS, BOXES]).tolist() == [18, 6]
    only = sums(StageLoss(model, 8, [PIXELS, BOXES]).train(), masks)
    torch.testing.assert_close(only, torch.cat([alone, torch.zeros(1)]))


@pytest.mark.parametrize("method", ["em-adapt", "em-fixed"])
def test_the_gradient_of_a_weak_step_is_that_of_its_target_held_constant(method: str) -> None:
    source = replace(IMAGE, e_step=EStep(method))
    batch = batch_of(torch.randint(2, (2, 17, 17)))
    weak, strong = network(), network()
    strong.load_state_dict(weak.state_dict())
    loss = StageLoss(weak, 8, [source]).train()
    sums(loss, batch._replace(labels=torch.full_like(batch.labels, 255))).sum().backward()
    target = torch.full_like(batch.labels, 255)
    target[:, ::8, ::8] = loss.estimated[0]
    assert set(target[:, ::8, ::8].unique().tolist()) <= {0, 1}
    sums(StageLoss(strong, 8).train(), batch._replace(labels=target)).sum().backward()
    for (name, ours), theirs in zip(weak.named_parameters(), strong.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=lambda text, name=name: f"{name}: {text}")


def test_a_joint_source_tells_extra_labels_apart() -> None:
    """Two labels beyond three: one sum over all five probabilities, one with theirs added to that of the background."""
    model = network(extra_labels=2)
    labels = torch.randint(5, (2, 17, 17))
    labels[0] %= 3
    batch = batch_of(labels, [0, 1])
    got = sums(StageLoss(model, 8, [PIXELS, replace(PIXELS, joint=True, data="coco")]).train(), batch)
    probabilities = model.train().all_scores(batch.images).softmax(1).detach()
    added = torch.cat([probabilities[:, [0, 3, 4]].sum(1, keepdim=True), probabilities[:, 1:3]], 1)
    for number, own in enumerate((added[:1], probabilities[1:])):
        picked = own.gather(1, labels[number, None, None, ::8, ::8])
        assert float(got[number].detach()) == pytest.approx(-float(picked.log().sum()), rel=1e-5)
    assert model.eval()(batch.images).shape[1] == 3


def test_impossible_labels_have_no_part_in_the_loss() -> None:
    model = build_model(num_labels=4, width=0.03).eval()
    batch = batch_of(torch.tensor([0, 3])[torch.randint(2, (2, 17, 17))])
    batch.allowed[1, 1:3] = False
    got = sums(StageLoss(model, 1), batch)
    logits = model.unary(batch.images)
    first = F.cross_entropy(logits[:1], batch.labels[:1], reduction="sum")
    second = F.cross_entropy(logits[1:, [0, 3]], batch.labels[1:].clamp(max=1), reduction="sum")
    torch.testing.assert_close(got, (first + second)[None], rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["deeplab-largefov", "fcn-32s", "deeplabv3-mobilenetv2"])
@pytest.mark.parametrize("size", [(33, 49), (34, 48), (40, 21)])
@pytest.mark.parametrize("stride", [1, 5, 8])
def test_labels_meet_the_scores_of_their_own_pixels(name: str, size: tuple[int, int], stride: int) -> None:
    """Scores that are their column in the image arrive at the columns that the loss looks at, whatever the crop."""
    model = build_model(name, num_labels=2, width=0.02, dropout=0.0).train()
    step = model.network.output_stride

    def columns(module: torch.nn.Module, inputs: tuple[Tensor], scores: Tensor) -> Tensor:
        return (step * torch.arange(float(scores.shape[-1]))).expand(1, 2, scores.shape[-2], -1)

    model.network.register_forward_hook(columns)
    logits = StageLoss(model, stride).logits(torch.zeros(1, 3, *size), torch.ones(1, 255, dtype=torch.bool))
    expected = torch.arange(0.0, size[1], stride).expand(1, 2, len(range(0, size[0], stride)), -1)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)


def test_scribbles_have_a_partial_cross_entropy_and_a_dense_crf_loss() -> None:
    """The terms by hand: two images of scribbles and one with its mask; in the first, part of the crop is padding."""
    model = network()
    batch = batch_of(torch.randint(3, (3, 33, 41)), [0, 1, 0])
    batch.labels[batch.source_of == 0] = torch.where(torch.rand(2, 33, 41) < 0.9, 255, batch.labels[[0, 2]])
    batch.images[0, :, 20:] = torch.tensor(MEAN_RGB)[:, None, None]
    scribbles = replace(PIXELS, annotation="scribbles", weight=0.5, crf_loss=CrfLoss(3.0, 30.0, 40.0, stride=2))
    loss = StageLoss(model, 2, [scribbles, PIXELS]).train()
    found = sums(loss, batch)
    assert loss.estimated == {}
    assert term_weights([scribbles, PIXELS]).tolist() == [0.5, 1.0, 1.5]
    counts = counted(batch, 2, [scribbles, PIXELS])
    assert counts.tolist() == [int((batch.labels[[0, 2], ::2, ::2] != 255).sum()), 17 * 21, 2]
    torch.testing.assert_close(
        found[:2], sums(StageLoss(model, 2, [replace(scribbles, crf_loss=CrfLoss()), PIXELS]), batch)
    )
    probabilities = model(batch.images)[[0, 2], :, ::4, ::4].softmax(1)
    inside = torch.ones(2, 9, 11)
    inside[0, 5:] = 0
    small, kernel = batch.images[[0, 2], :, ::4, ::4], appearance_kernel(30.0 / 4, 40.0, 1.0)
    alone = [dense_crf_loss(probabilities[[b]], small[[b]], [kernel], inside[[b]]) for b in range(2)]
    torch.testing.assert_close(found[2], sum(alone), rtol=1e-4, atol=0)
    found[2].backward()
    assert model.network.fc8.weight.grad.abs().sum() > 0


def test_no_images_of_a_source_no_crf_loss() -> None:
    model, scribbles = network(), replace(PIXELS, annotation="scribbles", crf_loss=CrfLoss(1.0))
    batch = batch_of(torch.randint(3, (1, 17, 17)), [1])
    assert sums(StageLoss(model, 8, [scribbles, PIXELS]), batch)[[0, 2]].tolist() == [0, 0]
    assert counted(batch, 8, [scribbles, PIXELS])[[0, 2]].tolist() == [0, 0]
