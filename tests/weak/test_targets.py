"""Targets from boxes on hand-drawn cases, the probabilities of Bbox-Seg against a loop over pixels."""

import numpy as np
import pytest
import torch

from crfrnn.data import VOID, LabeledBox
from crfrnn.presets import FixedCRF
from crfrnn.weak import core, rect_targets, seg_probabilities, seg_targets
from tests.dense_meanfield import dense_features, dense_kernel, dense_meanfield, dense_normalized

LARGE, INNER, BESIDE = LabeledBox(1, 0, 0, 16, 20), LabeledBox(2, 2, 3, 14, 15), LabeledBox(3, 10, 12, 20, 24)
SMALL, LINE = LabeledBox(2, 18, 0, 20, 3), LabeledBox(1, 19, 23, 20, 24)


def rows(labels: torch.Tensor) -> list[str]:
    return ["".join("v" if cell == VOID else str(int(cell)) for cell in row) for row in labels]


def test_the_smallest_box_is_on_top() -> None:
    boxes = [
        LabeledBox(3, 1, 1, 3, 3),
        LabeledBox(1, 0, 0, 4, 5),
        LabeledBox(2, 2, 2, 4, 7),
        LabeledBox(VOID, 0, 6, 1, 9),
    ]
    assert rows(rect_targets(boxes, 4, 9)) == ["111110vvv", "133110000", "133222200", "112222200"]
    assert rows(rect_targets(boxes[::-1], 4, 9)) == rows(rect_targets(boxes, 4, 9))
    assert rows(rect_targets([], 1, 3)) == ["000"]
    assert rows(rect_targets([LabeledBox(1, 0, 0, 1, 2), LabeledBox(2, 0, 1, 1, 3)], 1, 3)) == ["122"]  # of one area


@pytest.mark.parametrize(
    "box",
    [LabeledBox(1, 0, 0, 5, 9), LabeledBox(1, -1, 0, 2, 2), LabeledBox(1, 2, 2, 2, 4), LabeledBox(1, 0, 0, 1, 10)],
)
def test_boxes_outside_of_the_image_are_refused(box: LabeledBox) -> None:
    with pytest.raises(ValueError, match="not inside an image of 4 rows and 9 columns"):
        rect_targets([box], 4, 9)


@pytest.mark.parametrize("label", [-3, 256])
def test_labels_that_do_not_fit_into_a_map_are_refused(label: int) -> None:
    with pytest.raises(ValueError, match=f"has label {label}; wanted one of 0..255"):
        rect_targets([LabeledBox(label, 0, 0, 2, 2)], 4, 9)


def test_a_batch_of_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"wanted \[3, H, W\], without a batch"):
        seg_targets(torch.zeros(1, 3, 4, 9), [LabeledBox(1, 0, 0, 2, 2)])


@pytest.mark.parametrize(
    ("box", "inner"),
    [
        # 12 x 12: 100, 64, 36 of 144 pixels, and 36 is a quarter: once more
        (LabeledBox(1, 0, 0, 12, 12), LabeledBox(1, 4, 4, 8, 8)),
        # 11 x 11, the smallest that shrinks: 81, 49, 25 of 121
        (LabeledBox(1, 5, 7, 16, 18), LabeledBox(1, 8, 10, 13, 15)),
        # 10 x 100: 784, 576, 376, 184 of 1000
        (LabeledBox(1, 0, 0, 10, 100), LabeledBox(1, 4, 4, 6, 96)),
        (LabeledBox(1, 0, 0, 9, 200), LabeledBox(1, 0, 0, 9, 200)),
        (LabeledBox(1, 0, 0, 12, 10), LabeledBox(1, 0, 0, 12, 10)),
        (LabeledBox(1, 3, 3, 4, 4), LabeledBox(1, 3, 3, 4, 4)),
    ],
)
def test_cores(box: LabeledBox, inner: LabeledBox) -> None:
    assert core(box) == inner


def by_pixel(boxes: list[LabeledBox], height: int, width: int, num_labels: int) -> np.ndarray:
    """Bbox-Seg before the CRF, as it is defined, pixel by pixel."""
    boxes = sorted(boxes, key=lambda box: -box.area)
    result = np.zeros((num_labels, height, width))

    def inside(box: LabeledBox, y: int, x: int) -> bool:
        return box.top <= y < box.bottom and box.left <= x < box.right

    steps, t = [], 0
    for i, box in enumerate(boxes):
        inner = core(box)
        shared = [
            (y, x)
            for y in range(height)
            for x in range(width)
            if inside(inner, y, x) and any(inside(other, y, x) for other in boxes[:i])
        ]
        t += bool(shared)
        steps.append((set(shared), 0.1 * t))
    for y in range(height):
        for x in range(width):
            over = [box for box in boxes if inside(box, y, x)]
            p = [1e-12] * num_labels
            if not over:
                p[0] = 1 - 1e-12
            else:
                shares = [0.75 - 1e-12 if inside(core(box), y, x) else 0.5 for box in over]
                p[0] = sum(1 - share for share in shares) / len(over)
                for box, share in zip(over, shares, strict=True):
                    p[box.label] = (0 if p[box.label] == 1e-12 else p[box.label]) + share / len(over)
                for box, (shared, bonus) in zip(boxes, steps, strict=True):
                    p[box.label] += bonus if (y, x) in shared else 0
            result[:, y, x] = np.array(p) / sum(p)
    return result


@pytest.mark.parametrize(
    "boxes",
    [
        [LARGE],
        [LARGE, INNER],  # nested
        [BESIDE, INNER, LARGE],  # overlapping, two occluders
        [LabeledBox(1, 0, 0, 20, 24), SMALL, LINE],  # over the whole image; degenerate ones in it
        [LabeledBox(1, 0, 0, 14, 14), LabeledBox(1, 5, 5, 20, 20)],  # of one label
        [],
    ],
)
def test_probabilities_of_boxes(boxes: list[LabeledBox]) -> None:
    got = seg_probabilities(boxes, 20, 24, 4)
    np.testing.assert_allclose(got.numpy(), by_pixel(boxes, 20, 24, 4), rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(got.sum(0), torch.ones(20, 24, dtype=torch.float64))


def test_probabilities_by_hand() -> None:
    p = seg_probabilities([LARGE, INNER], 20, 24, 4)
    assert p[:, 19, 23].tolist() == pytest.approx([1, 0, 0, 0], abs=1e-11)
    assert p[:, 0, 0].tolist() == pytest.approx([0.5, 0.5, 0, 0], abs=1e-11)
    # in the cores of both: (0.25 + 0.25) / 2, 0.75 / 2, 0.75 / 2 + 0.1, over their sum 1.1
    assert p[:, 7, 9].tolist() == pytest.approx([0.25 / 1.1, 0.375 / 1.1, 0.475 / 1.1, 0], abs=1e-9)
    with pytest.raises(ValueError, match=r"label outside of 1\.\.1"):
        seg_probabilities([LARGE, INNER], 20, 24, 2)


def test_an_object_is_cut_out_of_its_box() -> None:
    """A red disk on blue: the box says half, the colors say which half."""
    y, x = np.mgrid[:40, :44]
    disk = torch.from_numpy((y - 20) ** 2 + (x - 22) ** 2 < 14**2)
    image = torch.where(disk, torch.tensor([220, 40, 40]).view(3, 1, 1), torch.tensor([20, 60, 200]).view(3, 1, 1))
    box = LabeledBox(15, 6, 8, 34, 36)
    labels = seg_targets(image.to(torch.uint8), [box])
    assert labels.dtype == torch.uint8
    assert set(labels.unique().tolist()) == {0, 15}
    rect = rect_targets([box], 40, 44)
    assert int(((rect == 15) != disk).sum()) > 100
    assert int(((labels == 15) != disk).sum()) < 20


def test_the_crf_is_that_of_the_definition() -> None:
    """Against a dense mean field, its kernels summed exactly; the labels a box does not name are left out."""
    torch.manual_seed(1)
    coarse = 255 * torch.rand(1, 3, 3, 4)
    image = torch.nn.functional.interpolate(coarse, size=(14, 18), mode="nearest")[0].to(torch.uint8)
    boxes = [LabeledBox(2, 1, 1, 13, 13), LabeledBox(4, 3, 8, 14, 18)]
    settings = FixedCRF(
        appearance_weight=3.0,
        theta_alpha=8.0,
        theta_beta=20.0,
        smoothness_weight=1.0,
        theta_gamma=2.0,
        num_iterations=4,
    )
    labels = seg_targets(image, boxes, settings)
    unary = seg_probabilities(boxes, 14, 18, 5).log().reshape(5, -1).T
    features = [dense_features(image.double(), 2.0), dense_features(image.double(), 8.0, 20.0)]
    kernels = [dense_normalized(dense_kernel(each), "after", False) for each in features]
    logits = dense_meanfield(
        unary, kernels, [torch.eye(5).double(), 3 * torch.eye(5).double()], 1 - torch.eye(5).double(), 4
    )
    expected = logits.argmax(1).reshape(14, 18)
    assert int((labels.long() != expected).sum()) <= 5  # the lattice is approximate
    assert len(expected.unique()) == 3
    assert int((expected.flatten() != unary.argmax(1)).sum()) > 20


def test_difficult_objects_are_void() -> None:
    image = torch.zeros(3, 30, 30, dtype=torch.uint8)
    boxes = [LabeledBox(1, 0, 0, 20, 20), LabeledBox(VOID, 25, 25, 30, 30), LabeledBox(VOID, 4, 4, 6, 6)]
    for labels in (rect_targets(boxes, 30, 30), seg_targets(image, boxes)):
        assert (labels[25:, 25:] == VOID).all()
        assert (labels[4:6, 4:6] == VOID).all()
        assert int((labels == VOID).sum()) == 29
    assert seg_targets(image, boxes[1:]).unique().tolist() == [0, VOID]
    assert not seg_targets(image, []).any()
