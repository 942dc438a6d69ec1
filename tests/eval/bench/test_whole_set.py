"""Refining a whole set: every figure against one counted here, from beliefs that the three systems give on their own."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydensecrf import densecrf

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from eval.bench.whole_set import main
from tests.csv_cells import cells

NAMES, CLASSES, SIZE = ("a", "b", "c"), ("background", "cat", "dog"), (16, 20)
MESSAGE_TOLERANCE = 2.0
MIN_BELIEF = 0.3  # leaves dogs out of the image c, which moves beliefs
SETTINGS = {"(w 4, 49, 5; w 3, 3)": (4, 49, 5, 3, 3), "(w 4, 67, 3; w 3, 1)": (4, 67, 3, 3, 1)}


@pytest.fixture
def photos() -> np.ndarray:
    """Three photographs of two smooth colors with some noise, uint8 [n, H, W, 3]."""
    random = np.random.default_rng(0)
    halves = np.where(np.arange(SIZE[1]) < 9, 80, 160)[None, None, :, None]
    return (halves + random.integers(-4, 5, (len(NAMES), *SIZE, 3))).astype(np.uint8)


@pytest.fixture
def truths() -> np.ndarray:
    """Labels uint8 [n, H, W] with void in two rows; the image c has no dog."""
    truths = np.random.default_rng(1).integers(0, 3, (len(NAMES), 4, 5)).repeat(4, 1).repeat(4, 2).astype(np.uint8)
    truths[2][truths[2] == 2] = 0
    truths[:, :2] = 255
    return truths


@pytest.fixture
def scores(truths: np.ndarray) -> np.ndarray:
    """Logits [n, H, W, L]: much noise, and right on average; dogs have a belief of 0.29 throughout the image c."""
    scores = np.random.default_rng(2).normal(0, 2, (*truths.shape, len(CLASSES)))
    scores[:2] += 2 * (truths[:2, ..., None] == np.arange(len(CLASSES)))
    scores[2, ..., 2] = np.logaddexp(scores[2, ..., 0], scores[2, ..., 1]) + np.log(0.29 / 0.71)
    return scores.astype(np.float32)


@pytest.fixture
def data(tmp_path: Path, photos: np.ndarray, truths: np.ndarray) -> Path:
    root = tmp_path / "voc"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(CLASSES))
    (root / "ImageSets/Segmentation/val.txt").write_text("\n".join(NAMES))
    for name, photo, truth in zip(NAMES, photos, truths, strict=True):
        Image.fromarray(photo).save(root / f"JPEGImages/{name}.jpg")
        labels = Image.fromarray(truth, "P")
        labels.putpalette([value for i in range(256) for value in (i, i, i)])
        labels.save(root / f"SegmentationClass/{name}.png")
    return root


def with_pydensecrf(photo: np.ndarray, scores: np.ndarray, crf: tuple[float, ...]) -> np.ndarray:
    """Beliefs [H, W, L]."""
    appearance, alpha, beta, smoothness, gamma = crf
    model = densecrf.DenseCRF2D(SIZE[1], SIZE[0], len(CLASSES))
    model.setUnaryEnergy(np.ascontiguousarray(-scores.reshape(-1, len(CLASSES)).T))
    model.addPairwiseGaussian(sxy=gamma, compat=smoothness)
    model.addPairwiseBilateral(sxy=alpha, srgb=beta, rgbim=np.ascontiguousarray(photo), compat=appearance)
    return np.array(model.inference(10)).T.reshape(scores.shape)


def with_layer(
    photo: np.ndarray, scores: np.ndarray, crf: tuple[float, ...], min_belief: float, message_tolerance: float
) -> np.ndarray:
    """Beliefs [H, W, L]."""
    appearance, alpha, beta, smoothness, gamma = crf
    kernels = [smoothness_kernel(gamma, smoothness), appearance_kernel(alpha, beta, appearance)]
    options = {"min_belief": min_belief, "message_tolerance": message_tolerance}
    layer = CRFRNN(len(CLASSES), kernels, 10, "symmetric", **options).requires_grad_(False)
    unary, image = (torch.from_numpy(each).float().permute(2, 0, 1)[None] for each in (scores, photo))
    return layer(unary, image)[0].softmax(0).permute(1, 2, 0).detach().numpy()


def mean_iou(labels: np.ndarray, truths: np.ndarray) -> float:
    """In percent, over all images at once; void pixels do not count."""
    counted = truths != 255
    each = []
    for label in range(len(CLASSES)):
        found, true = (labels == label) & counted, truths == label
        each.append((found & true).sum() / (found | true).sum())
    return 100 * float(np.mean(each))


def test_figures_are_those_counted_by_hand(tmp_path: Path, data: Path, truths: np.ndarray, scores: np.ndarray) -> None:
    unaries, out = tmp_path / "scores.npz", tmp_path / "whole.json"
    np.savez(unaries, names=NAMES, logits=scores)
    arguments = ["--unaries", str(unaries), "--data", str(data), "--out", str(out), "--threads", "1"]
    limits = ["--min-belief", str(MIN_BELIEF), "--message-tolerance", str(MESSAGE_TOLERANCE)]
    assert main([*arguments, *limits, "--table", str(tmp_path / "whole.csv")]) == 0
    assert len(list(tmp_path.glob("whole*.csv"))) == len(SETTINGS)
    results = json.loads(out.read_text())["results"]
    assert list(results) == list(SETTINGS)
    photos = [np.array(Image.open(data / f"JPEGImages/{name}.jpg")) for name in NAMES]
    pairs = list(zip(photos, scores, strict=True))
    for setting, crf in SETTINGS.items():
        peer = np.stack([with_pydensecrf(*pair, crf) for pair in pairs])
        full, few, late, both = (
            np.stack([with_layer(*pair, crf, *limits) for pair in pairs])
            for limits in ((0, 0), (MIN_BELIEF, 0), (0, MESSAGE_TOLERANCE), (MIN_BELIEF, MESSAGE_TOLERANCE))
        )
        rows = results[setting]
        if setting == next(iter(SETTINGS)):
            assert [row[1] for row in cells(tmp_path / "whole.csv")[1:]] == [
                f"{row['mean IoU']:.2f}" for row in rows.values()
            ]
        assert rows["network alone"] == {"mean IoU": pytest.approx(mean_iou(scores.argmax(3), truths))}
        for name, beliefs, reference in (
            ("pydensecrf2", peer, peer), ("CRFRNN", full, peer), ("CRFRNN, min_belief", few, full),
            ("CRFRNN, message_tolerance", late, full), ("CRFRNN, both", both, full),
        ):  # fmt: skip
            row = rows[name]
            equal = (beliefs.argmax(3) == reference.argmax(3)).mean((1, 2))
            assert row["mean IoU"] == pytest.approx(mean_iou(beliefs.argmax(3), truths))
            assert row["equal labels"] == pytest.approx(equal.mean())
            assert row["least equal labels"] == pytest.approx(equal.min())
            assert row["largest difference of beliefs"] == pytest.approx(np.abs(beliefs - reference).max(), abs=1e-6)
            assert row["seconds per image"] > 0
        # The cases must be told apart: refined labels differ from the network's, and leaving labels out moves beliefs.
        assert (peer.argmax(3) != scores.argmax(3)).mean() > 0.05
        assert rows["CRFRNN"]["largest difference of beliefs"] < 2e-4
        for name in ("CRFRNN, min_belief", "CRFRNN, message_tolerance"):
            assert rows[name]["largest difference of beliefs"] > 1e-2


@pytest.mark.parametrize("layout", ["voc", "folders"])
def test_the_first_images_only(
    tmp_path: Path, data: Path, truths: np.ndarray, scores: np.ndarray, layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    unaries = tmp_path / "scores.npz"
    np.savez(unaries, names=NAMES, logits=scores)
    folders = f"--images {data / 'JPEGImages'} --masks {data / 'SegmentationClass'} --classes {data / 'classes.txt'}"
    given = f"--data {data}" if layout == "voc" else f"{folders} --list all"
    assert main(["--unaries", str(unaries), *given.split(), "--limit", "2", "--threads", "1"]) == 0
    wanted = f"{mean_iou(scores[:2].argmax(3), truths[:2]):.2f}"
    printed = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("network alone")]
    assert printed == [["network", "alone", wanted, *"-----"]] * len(SETTINGS)
