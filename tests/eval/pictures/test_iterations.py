"""What is watched of mean field, against numbers worked out from one dense iteration."""

import math

import pytest
import torch

from crfrnn import CRFRNN, smoothness_kernel
from eval.pictures.iterations import largest_labels, watch
from tests.dense_meanfield import dense_features, dense_kernel, dense_meanfield

CLASSES = ["background", "cat", "dog"]
SIZE = (4, 5)


@pytest.fixture
def crf() -> CRFRNN:
    return CRFRNN(3, [smoothness_kernel(1.5, 2.0)], normalization="none", filter="exact")


def test_maps_and_changes_are_those_of_dense_mean_field(crf: CRFRNN) -> None:
    unary, image = torch.randn(1, 3, *SIZE), 255 * torch.rand(1, 3, *SIZE)
    seen = watch(crf, unary, image, CLASSES, ["dog", "cat"], 2)
    kernel, potts = dense_kernel(dense_features(image[0], 1.5)), 1 - torch.eye(3)
    flat, beliefs = unary[0].flatten(1).T, []
    for t in range(3):
        logits = dense_meanfield(flat, [kernel], [2 * torch.eye(3)], potts, t)
        beliefs.append(logits.softmax(1))
        assert torch.allclose(seen.scores[t].flatten(1), logits.T[[2, 1]], atol=1e-4)
        assert torch.allclose(seen.beliefs[t].flatten(1), beliefs[-1].T[[2, 1]], atol=1e-5)
    for t in (1, 2):
        change = (beliefs[t] - beliefs[t - 1]).abs()
        assert seen.largest_change[t] == pytest.approx(float(change.max()), rel=1e-4)
        assert seen.mean_change[t] == pytest.approx(float(change.sum()) / 2 / 20, rel=1e-4)
    assert math.isnan(seen.largest_change[0])
    assert math.isnan(seen.mean_change[0])
    pair = 0.5 * (beliefs[1] * (2 * kernel @ beliefs[1] @ potts)).sum()
    energy = (beliefs[1] * (beliefs[1].log() - flat)).sum() + pair
    assert seen.free_energy[1] == pytest.approx(float(energy) / 20, rel=1e-4)
    assert seen.mean_iou == []


def test_mean_iou_is_that_of_the_image_after_every_iteration(crf: CRFRNN) -> None:
    """A lone pixel of cat among background: right for the network, gone after an iteration."""
    unary = torch.zeros(1, 3, *SIZE)
    unary[0, 0], unary[0, 2] = 1.0, -9.0
    unary[0, :2, 1, 2] = torch.tensor([1.0, 1.5])
    truth = torch.zeros(SIZE, dtype=torch.uint8)
    truth[1, 2], truth[3] = 1, 255
    seen = watch(crf, unary, torch.zeros(1, 3, *SIZE), CLASSES, ["cat"], 1, truth)
    assert seen.mean_iou == pytest.approx([100.0, (100 * 14 / 15 + 0) / 2])  # 15 pixels are not void
    assert watch(crf, unary, torch.zeros(1, 3, *SIZE), CLASSES, ["cat"], 1, torch.full_like(truth, 255)).mean_iou == []


def test_an_unknown_label_is_named(crf: CRFRNN) -> None:
    with pytest.raises(ValueError, match=r"no class 'cow'; the classes are background, cat, dog"):
        watch(crf, torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), CLASSES, ["cow"], 1)


def test_the_largest_labels_of_a_picture() -> None:
    truth = torch.tensor([[0, 0, 255, 255], [255, 2, 2, 2]])
    assert largest_labels(truth, ["a", "b", "c"], 3) == ["c", "a"]
    assert largest_labels(truth, ["a", "b", "c"], 1) == ["c"]
