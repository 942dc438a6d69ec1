"""Crops around boxes: the right place and scale, scores put back, and the command that does it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from crfrnn import CRFRNN
from crfrnn.data import Parts, read_labels
from crfrnn.data.parts import PASCAL_PARTS, Corners, PartLabels, Region
from crfrnn.nets import build_model, save_checkpoint
from eval.inputs.boxes import Found
from eval.parts import entry_of, main
from eval.wild import label_space, merge, segment_boxes

PARTS = Parts(classes=("bottle", "pottedplant"), side=20, margin=0.25)
LABELS = PartLabels(PASCAL_PARTS, PARTS.classes)


class ByColor(nn.Module):
    """Labels by the amount of red, 40 gray levels a label; notes the sizes it is shown."""

    crf = None

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))
        self.sizes: list[tuple[int, ...]] = []

    def unary(self, image: Tensor) -> Tensor:
        self.sizes.append(tuple(image.shape[2:]))
        return -((image[:, :1] / 40 - torch.arange(5.0).view(1, 5, 1, 1)) ** 2) * 20

    def refine(self, unary: Tensor, image: Tensor, num_iterations: int | None) -> Tensor:
        assert unary.shape[2:] == image.shape[2:]
        return unary


def scene(*patches: tuple[int, Sequence[slice]]) -> Tensor:
    image = torch.zeros(3, 60, 80, dtype=torch.uint8)
    for label, window in patches:
        image[0][tuple(window)] = 40 * label
    return image


def test_labels_come_back_to_their_place_and_nowhere_else() -> None:
    bottle, lost = (slice(10, 30), slice(20, 30)), (slice(50, 58), slice(60, 70))
    image = scene((2, bottle), (1, lost))
    model = ByColor()
    beliefs = segment_boxes(model, image, [Found("bottle", Corners(20, 10, 30, 30))], PARTS, LABELS, scales=(1.0, 2.0))
    expected = torch.zeros(60, 80, dtype=torch.int64)
    expected[bottle] = 2
    assert torch.equal(beliefs.argmax(0), expected)
    assert torch.allclose(beliefs.sum(0), torch.ones(60, 80))
    # A longer side of 20 with 5 around it is 30 x 20 pixels, and twice that at the second scale.
    assert model.sizes == [(30, 20), (60, 40)]


def test_a_known_class_rules_the_parts_of_others_out() -> None:
    image = scene((2, (slice(10, 30), slice(20, 30))))
    box = Found("pottedplant", Corners(20, 10, 30, 30))
    free = segment_boxes(ByColor(), image, [box], PARTS, LABELS)
    given = Parts(classes=PARTS.classes, side=20, margin=0.25, given_class=True)
    known = segment_boxes(ByColor(), image, [box], given, LABELS)
    assert free[:, 20, 25].argmax() == 2
    assert known[:, 20, 25].argmax() == 3
    assert not known[1:3].any()


def test_without_a_scale_objects_are_seen_as_they_are() -> None:
    model = ByColor()
    segment_boxes(model, scene(), [Found("bottle", Corners(20, 10, 30, 30))], Parts(classes=PARTS.classes), LABELS)
    assert model.sizes == [(28, 18)]


def test_overlapping_regions_agree_by_hand() -> None:
    left, right = Region(0, 0, 2, 1, (1, 2)), Region(1, 0, 3, 1, (1, 2))
    ours = torch.tensor([[0.2, 0.9], [0.8, 0.1], [0.0, 0.0]]).view(3, 1, 2)
    theirs = torch.tensor([[0.3, 1.0], [0.3, 0.0], [0.4, 0.0]]).view(3, 1, 2)
    merged = merge([(left, ours), (right, theirs)], 3, torch.zeros(3, 1, 4))
    # In column 1: background min(0.9, 0.3), parts max(0.1, 0.3) and max(0, 0.4), of sum 1.
    expected = torch.tensor([[0.2, 0.3, 1.0, 1.0], [0.8, 0.3, 0.0, 0.0], [0.0, 0.4, 0.0, 0.0]])
    assert torch.allclose(merged[:, 0], expected)


def test_boxes_have_to_fit() -> None:
    with pytest.raises(ValueError, match="class 'cat'; the model knows bottle, pottedplant"):
        segment_boxes(ByColor(), scene(), [Found("cat", Corners(0, 0, 5, 5))], PARTS, LABELS)
    with pytest.raises(ValueError, match="no pixel within an image of 80 x 60"):
        segment_boxes(ByColor(), scene(), [Found("bottle", Corners(90, 0, 95, 5))], PARTS, LABELS)


def test_a_label_space_is_found_again() -> None:
    assert label_space(PARTS, LABELS.names).names == LABELS.names
    oid = ["background", "aeroplane", "verticalStabilizer", "nose", "wing", "wheel"]
    assert label_space(Parts(classes=("aeroplane",)), oid).rest("aeroplane") == 1
    assert label_space(
        Parts(classes=("aeroplane",)), ["background", "body", "stern", "wing", "tail", "engine", "wheel"]
    )
    with pytest.raises(ValueError, match="are not the parts of bottle"):
        label_space(PARTS, ["background", "cap"])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A photograph, boxes in it, and a model of parts with a CRF."""
    Image.new("RGB", (50, 40), (90, 20, 200)).save(tmp_path / "photo.jpg")
    (tmp_path / "boxes.json").write_text('{"photo.jpg": [{"class": "bottle", "box": [10, 5, 30, 35]}], "none.jpg": []}')
    model = build_model(num_labels=5, width=0.03, crf=CRFRNN(5))
    parts = {"classes": ["bottle", "pottedplant"], "objects": [], "side": 24}
    save_checkpoint(
        tmp_path / "model.pt",
        model,
        architecture={"num_labels": 5, "width": 0.03},
        classes=list(LABELS.names),
        training={"parts": parts},
    )
    return tmp_path / "photo.jpg", tmp_path / "boxes.json", tmp_path / "model.pt"


def test_the_command_writes_labels_and_a_picture(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    photo, boxes, model = files
    out = tmp_path / "out"
    argv = [
        str(photo),
        str(tmp_path / "none.jpg"),
        "--boxes",
        str(boxes),
        "--checkpoint",
        str(model),
        "--out",
        str(out),
    ]
    assert main(argv) == 1  # one of the two is no image
    labels = read_labels(out / "photo_labels.png")
    assert labels.shape == (40, 50)
    assert not labels[:, 40:].any()
    assert (out / "photo_overlay.png").exists()
    assert sorted(path.name for path in out.iterdir()) == ["photo_labels.png", "photo_overlay.png"]


def test_what_does_not_fit_is_said(
    files: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, boxes, model = map(str, files)
    save_checkpoint(
        tmp_path / "objects.pt", build_model(num_labels=5, width=0.03), architecture={"num_labels": 5, "width": 0.03},
        classes=list("abcde"),
    )  # fmt: skip
    json_file = tmp_path / "other.json"
    json_file.write_text(json.dumps({"other.jpg": []}))
    (tmp_path / "deep").mkdir()
    twin = tmp_path / "deep" / "photo.jpg"
    Image.new("RGB", (9, 9)).save(twin)
    guided = ["--checkpoint", model, "--boxes", boxes]
    for argv, message in (
        ([photo, "--checkpoint", model], "either --boxes FILE or --detect SCORE"),
        ([photo, *guided, "--detect", "0.5"], "either --boxes FILE or --detect SCORE"),
        ([photo, "--checkpoint", model, "--detect", "7"], "--detect is 7.0"),
        ([photo, *guided, "--scales", "0"], "--scales"),
        ([photo, *guided, "--iterations", "-1"], "--iterations is -1"),
        ([photo, "--checkpoint", str(tmp_path / "objects.pt"), "--boxes", boxes], "labels no parts; use eval.segment"),
        ([photo, "--checkpoint", model, "--boxes", str(json_file)], "has no entry for photo.jpg"),
        ([str(tmp_path), *guided, "--out", str(tmp_path / "out")], "the entry 'photo.jpg' of"),
    ):
        assert main(argv) == 2
        assert message in capsys.readouterr().err


def test_an_entry_may_tell_folders_apart() -> None:
    entries = ["a.jpg", "one/a.jpg", "b.jpg"]
    for path, wanted in (("x/one/a.jpg", "one/a.jpg"), ("x/two/a.jpg", "a.jpg"), ("a.jpg", "a.jpg"), ("c.jpg", None)):
        assert entry_of(Path(path), entries) == wanted
