"""Boxes of the user's, and what a detector finds."""

import json
from pathlib import Path

import pytest
import torch

from crfrnn._torchvision import torchvision
from crfrnn.data.parts import Corners
from eval.inputs.boxes import Found, check_compiled, read_boxes, voc_objects


def test_boxes_by_file_name(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({"a.jpg": [{"class": "cat", "box": [1, 2, 3.5, 4]}], "b.jpg": []}))
    assert read_boxes(path) == {"a.jpg": [Found("cat", Corners(1, 2, 3.5, 4))], "b.jpg": []}


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"a.jpg": 3}',
        '{"a.jpg": [[1, 2, 3, 4]]}',
        '{"a.jpg": [{"box": 1}]}',
        '{"a.jpg": [{"class": "cat", "box": [1, 2, 3]}]}',
        '{"a.jpg": [{"class": "cat", "box": [5, 2, 3, 4]}]}',
        '{"a.jpg": [{"class": "cat", "box": ["x", 2, 3, 4]}]}',
        '{"a.jpg": [{"class": "cat", "box": [1, 2, Infinity, 4]}]}',
        '{"a.jpg": [{"class": "cat", "box": [1, 2, 1' + "0" * 400 + ", 4]}]}",
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"boxes\.json holds no boxes"):
        read_boxes(path)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, b"[" + b"1" * 5000 + b"]"])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "boxes.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"boxes\.json cannot be read"):
        read_boxes(path)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.json"):
        read_boxes(tmp_path / "none.json")


def test_names_of_coco_become_those_of_voc() -> None:
    names = torchvision.models.detection.FasterRCNN_MobileNet_V3_Large_FPN_Weights.DEFAULT.meta["categories"]
    numbers = [names.index(name) for name in ("person", "airplane", "zebra", "couch", "cow")]
    boxes = torch.arange(20.0).view(5, 4)
    found = voc_objects({"labels": torch.tensor(numbers), "boxes": boxes}, names, ["person", "aeroplane", "sofa"])
    assert found == [
        Found("person", Corners(0, 1, 2, 3)), Found("aeroplane", Corners(4, 5, 6, 7)), Found("sofa", Corners(12, 13, 14, 15))
    ]  # fmt: skip


def test_a_detector_without_compiled_operators_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(torchvision.ops, "nms", missing)
    with pytest.raises(ValueError, match=r"was not built for torch .*or pass --boxes"):
        check_compiled()
