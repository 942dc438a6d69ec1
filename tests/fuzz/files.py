"""Readers of files: what was cut, flipped, or made to promise more than it holds is read, or refused by its name."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from crfrnn import CRFRNN, appearance_kernel
from crfrnn.data import CocoSegmentation, VOCSegmentation, make_toy, read_image, read_labels, voc_boxes, write_labels
from crfrnn.data.parts import pascal
from crfrnn.data.sbd import sbd_labels, sbd_objects
from crfrnn.nets.assembly import build_model
from crfrnn.nets.weights.checkpoint import model_from_checkpoint, save_checkpoint
from crfrnn.nets.weights.sources import read_source
from crfrnn.weak import voc_scribbles
from eval.inputs.boxes import read_boxes
from eval.inputs.crf_file import read_crf, write_crf
from eval.inputs.scores_file import read_unary
from tests import caffe_bytes
from tests.coco_files import annotation, write_coco
from tests.fuzz.property import REFUSED, RIGHT, Property, answer_or_refusal
from tests.part_files import person, write_pascal

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (9, 7, 3), dtype=np.uint8)
VOC_XML = (
    "<annotation><size><width>20</width><height>10</height><depth>3</depth></size><object><name>cat</name>"
    "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>12</xmax><ymax>9</ymax></bndbox></object></annotation>"
)
SCRIBBLES = (
    "<annotation><size><width>20</width><height>10</height></size><polygon><tag>cat</tag><point><X>2</X><Y>3</Y></point>"
    "<point><X>12</X><Y>9</Y></point></polygon></annotation>"
)


class Format(NamedTuple):
    """`write(folder)` makes a folder with one good file, and returns its path; `read` takes that path."""

    write: Callable[[Path], Path]
    read: Callable[[Path], Any]


def image(suffix: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / f"image{suffix}"
        Image.fromarray(PIXELS).save(path)
        return path

    return write


def text(name: str, content: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_text(content, encoding="utf-8")
        return path

    return write


def mask(folder: Path) -> Path:
    write_labels(folder / "mask.png", torch.arange(63, dtype=torch.uint8).view(9, 7))
    return folder / "mask.png"


def coco(folder: Path) -> Path:
    outlines = [
        annotation(1, [[1, 1, 6, 1, 6, 7, 1, 7]]),
        annotation(18, {"counts": [3, 4, 56], "size": [9, 7]}),
        annotation(1, {"counts": "34h1", "size": [9, 7]}, crowd=1),
    ]
    return write_coco(folder, "val", outlines, (9, 7), (9,)) / "annotations" / "instances_val.json"


def matlab(variable: str, content: dict[str, Any], packed: bool) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        savemat(folder / "a.mat", {variable: content}, do_compression=packed)
        return folder / "a.mat"

    return write


def voc_list(folder: Path) -> Path:
    root = make_toy(folder / "voc", num_train=2, num_val=1, size=(48, 48))
    return next(root.rglob("train.txt"))


def checkpoint(folder: Path) -> Path:
    torch.manual_seed(0)
    architecture = {"name": "fcn-32s", "num_labels": 3, "width": 1 / 64}
    model = build_model(**architecture, crf=CRFRNN(3, [appearance_kernel(60, 10, 1.0)]))
    save_checkpoint(folder / "model.pt", model, architecture=architecture, classes=["a", "b", "c"])
    return folder / "model.pt"


def caffe(old: bool) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        layers = {name: [RANDOM.normal(size=(4, 3, 3, 3)), RANDOM.normal(size=4)] for name in ("conv1_1", "conv1_2")}
        (folder / "net.caffemodel").write_bytes(caffe_bytes.net(layers, old=old))
        return folder / "net.caffemodel"

    return write


def scores(compressed: bool) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        arrays = {
            "names": np.array(["a", "b"]),
            "logits": RANDOM.integers(0, 99, (2, 3, 3, 4), dtype=np.uint8),
            "scale_zero": np.array([0.1, 40]),
            "canvas_wh": np.array([[30, 20], [33, 33]]),
        }
        (np.savez_compressed if compressed else np.savez)(folder / "scores.npz", **arrays)  # type: ignore[arg-type]
        return folder / "scores.npz"

    return write


def one_score(folder: Path) -> Path:
    np.save(folder / "a.npy", RANDOM.normal(size=(4, 5, 6)).astype(np.float32))
    return folder / "a.npy"


def crf_parameters(folder: Path) -> Path:
    crf = CRFRNN(3, [appearance_kernel(60, 10, 1.0)])
    with torch.no_grad():
        crf.cell.compatibility += 0.1
    write_crf(folder / "crf.json", crf, {"images": 3})
    return folder / "crf.json"


SBD = {"Segmentation": np.arange(12, dtype=np.uint8).reshape(3, 4) % 3, "CategoriesPresent": np.array([[1], [2]])}
OBJECTS = {"Segmentation": SBD["Segmentation"], "Categories": np.array([[8], [12]], np.uint8)}
BOXES = '{"photo.jpg": [{"class": "person", "box": [1, 2, 30.5, 40]}, {"class": "dog", "box": [0, 0, 9, 9]}]}'
FORMATS = {
    "image.png": Format(image(".png"), read_image),
    "image.jpg": Format(image(".jpg"), read_image),
    "image.tif": Format(image(".tif"), read_image),
    "image.bmp": Format(image(".bmp"), read_image),
    "mask.png": Format(mask, read_labels),
    "boxes of VOC": Format(text("a.xml", VOC_XML), lambda path: voc_boxes(path, ["background", "cat"])),
    "scribbles": Format(text("a.xml", SCRIBBLES), lambda path: voc_scribbles(path, ["background", "cat"])),
    "boxes of eval": Format(text("boxes.json", BOXES), read_boxes),
    "COCO": Format(coco, lambda path: CocoSegmentation(path.parent.parent, "val")[0]),
    "list of VOC": Format(voc_list, lambda path: list(VOCSegmentation(path.parents[2], "train"))),
    "SBD": Format(matlab("GTcls", SBD, packed=False), sbd_labels),
    "SBD, compressed": Format(matlab("GTcls", SBD, packed=True), sbd_labels),
    "objects of SBD": Format(matlab("GTinst", OBJECTS, packed=False), sbd_objects),
    "parts": Format(lambda folder: write_pascal(folder, "2008_000001", [person()]), pascal.read_annotation),
    "checkpoint": Format(checkpoint, model_from_checkpoint),
    "old caffemodel": Format(caffe(old=True), read_source),
    "caffemodel": Format(caffe(old=False), read_source),
    "scores.npz": Format(scores(compressed=False), lambda path: read_unary(path, (20, 30), "a")),
    "scores.npz, compressed": Format(scores(compressed=True), lambda path: read_unary(path, (20, 30), "a")),
    "scores.npy": Format(one_score, lambda path: read_unary(path, (20, 30))),
    "crf.json": Format(crf_parameters, read_crf),
}


@cache
def original(name: str) -> tuple[Path, bytes]:
    """A good file, in a folder that lasts as long as this process, and what is in it."""
    path = FORMATS[name].write(Path(tempfile.mkdtemp(prefix="crfrnn-fuzz-")))
    FORMATS[name].read(path)
    return path, path.read_bytes()


class Case(NamedTuple):
    format: str
    damages: list[tuple[str, float, int]]  # of a kind, at a share of the file, of some size


DAMAGE = st.tuples(
    st.sampled_from(["cut", "flip", "zeros", "drop", "repeat", "number", "number", "bytes"]),
    st.floats(0, 1),
    st.integers(0, 2**31),
)
CASES = st.builds(Case, format=st.sampled_from(list(FORMATS)), damages=st.lists(DAMAGE, max_size=3))
NUMBERS = [
    b"-1",
    b"0",
    b"3",
    b"1e999",
    b"NaN",
    b"Infinity",
    b"null",
    b'"7"',
    b"0.5",
    b"9" * 12,
    b"1" * 5000,
    b"[]",
    b"[1]",
]


def damaged(content: bytes, kind: str, where: float, size: int) -> bytes:
    at, run = int(where * len(content)), 1 + size % 40
    before, after = content[:at], content[at:]
    if kind == "number":
        found = list(re.finditer(rb"-?\d+(\.\d+)?", content))
        if not found:
            return content
        chosen = found[int(where * (len(found) - 1))]
        same = b"9" * len(chosen[0])  # a size that headers of fixed length, as NumPy's, can hold
        return content[: chosen.start()] + [*NUMBERS, same, same][size % (len(NUMBERS) + 2)] + content[chosen.end() :]
    return {
        "cut": before,
        "flip": before + bytes([byte ^ 1 << size % 8 for byte in after[:1]]) + after[1:],
        "zeros": before + bytes(len(after[:run])) + after[run:],
        "drop": before + after[run:],
        "repeat": before + after[:run] * (2 + size % 50) + after[run:],
        "bytes": before + np.random.default_rng(size).bytes(run) + after[run:],
    }[kind]


def check(case: Case) -> str:
    path, content = original(case.format)
    changed = content
    for damage in case.damages:
        changed = damaged(changed, *damage)
    try:
        path.write_bytes(changed)
        _, refusal = answer_or_refusal(lambda: FORMATS[case.format].read(path), (ValueError, OSError))
    finally:
        path.write_bytes(content)
    if refusal is None:
        return RIGHT
    assert changed != content, f"a good file was refused: {refusal}"
    assert "weights_only" not in str(refusal), "torch's advice to execute what is in the file is passed on"
    return REFUSED


PROPERTIES = [Property("damaged files", CASES, check)]
