"""SBD and train_aug on generated Matlab files."""

import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_array
from torch import Tensor

from crfrnn.data import SBDSegmentation, open_set, read_labels, train_aug, write_labels
from crfrnn.data.sbd import sbd_labels, sbd_objects


@pytest.fixture
def sbd(tmp_path: Path) -> Path:
    """Three images: a and b in train, c in val. Rows of a and b: background, a cat, two dogs."""
    root = tmp_path / "benchmark_RELEASE" / "dataset"
    for folder in ("img", "cls", "inst"):
        (root / folder).mkdir(parents=True)
    labels = np.array([[0] * 5, [8] * 5, [12] * 5, [12] * 5], dtype=np.uint8)
    for name in "abc":
        Image.new("RGB", (5, 4), (9, 9, 9)).save(root / "img" / f"{name}.jpg")
        savemat(
            root / "cls" / f"{name}.mat",
            {"GTcls": {"Segmentation": labels, "CategoriesPresent": np.array([[8], [12]])}},
        )
        objects = np.array([[0] * 5, [1] * 5, [2] * 5, [3] * 5], dtype=np.uint8)
        content = {"Segmentation": objects, "Categories": np.array([[8], [12], [12]], dtype=np.uint8)}
        savemat(root / "inst" / f"{name}.mat", {"GTinst": content})
    (root / "train.txt").write_text("a\nb\n")
    (root / "val.txt").write_text("c\n")
    return root


def test_samples(sbd: Path, tmp_path: Path) -> None:
    dataset = SBDSegmentation(tmp_path, "train")
    assert dataset.root == sbd
    assert dataset.names == ["a", "b"]
    image, labels, name = dataset[1]
    assert labels.tolist() == [[0] * 5, [8] * 5, [12] * 5, [12] * 5]
    assert (labels.dtype, image.shape, name, len(dataset)) == (torch.uint8, (3, 4, 5), "b", 2)
    assert isinstance(open_set(sbd, "val"), SBDSegmentation)
    objects, categories = sbd_objects(sbd / "inst" / "a.mat")
    assert objects[:, 0].tolist() == [0, 1, 2, 3]
    assert categories == [8, 12, 12]
    alone = {"Segmentation": np.ones((2, 2), dtype=np.uint8), "Categories": 8}
    savemat(sbd / "inst" / "d.mat", {"GTinst": alone})
    assert sbd_objects(sbd / "inst" / "d.mat")[1] == [8]


def test_damage_is_named(sbd: Path) -> None:
    (sbd / "cls" / "a.mat").write_bytes((sbd / "cls" / "b.mat").read_bytes()[:150])
    with pytest.raises(ValueError, match=r"a\.mat cannot be read"):
        sbd_labels(sbd / "cls" / "a.mat")
    with pytest.raises(ValueError, match="holds no struct 'GTcls'"):
        sbd_labels(sbd / "inst" / "b.mat")
    savemat(sbd / "cls" / "b.mat", {"GTcls": {"Segmentation": np.full((4, 5), 21)}})
    with pytest.raises(ValueError, match=r"b\.mat holds the value 21 in 20 pixels; wanted a map \[H, W\] of 0\.\.20"):
        SBDSegmentation(sbd, "train")[1]
    Image.new("RGB", (6, 4)).save(sbd / "img" / "c.jpg")
    with pytest.raises(ValueError, match="wanted equal sizes"):
        SBDSegmentation(sbd, "val")[0]
    (sbd / "img" / "c.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 file listed in .*val\.txt does not exist: .*c\.jpg"):
        SBDSegmentation(sbd, "val")
    with pytest.raises(FileNotFoundError, match="there is no list"):
        SBDSegmentation(sbd, "test")
    with pytest.raises(FileNotFoundError, match=r"does not hold cls/\*\.mat"):
        SBDSegmentation(sbd / "img", "train")


def flagged(content: bytes, flag: int) -> bytes:
    """Set a flag of the last matrix of class uint8 in a file, which has none."""
    at = content.rindex(bytes([6, 0, 0, 0, 8, 0, 0, 0, 9, 0])) + 9
    return content[:at] + bytes([flag]) + content[at + 1 :]


@pytest.mark.parametrize("compress", [False, True])
def test_damage_is_found_before_scipy_sees_it(sbd: Path, compress: bool) -> None:
    """A matrix that calls itself complex, with another matrix where its imaginary parts should be, crashes scipy 1.17."""
    path = sbd / "cls" / "a.mat"
    savemat(path, {"GTcls": {"Segmentation": np.ones((20, 20), dtype=np.uint8), "CategoriesPresent": 8.0}})
    content = flagged(path.read_bytes(), 8)
    if compress:
        packed = zlib.compress(content[128:])
        content = content[:128] + struct.pack("<II", 15, len(packed)) + packed
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.mat cannot be read \(ValueError: .*; wanted a complete MATLAB file"):
        sbd_labels(path)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_are_read_or_refused(sbd: Path, seed: int, compress: bool) -> None:
    path = sbd / "inst" / "a.mat"
    content = {"Segmentation": np.eye(9, dtype=np.uint8), "Categories": [[8]], "Boundaries": csc_array(np.eye(9))}
    savemat(path, {"other": 7, "GTinst": content}, do_compression=compress)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(seed), 0
    for _ in range(150):
        damaged = np.frombuffer(whole, dtype=np.uint8).copy()
        damaged[rng.integers(126, len(whole), 3)] ^= np.uint8(1) << rng.integers(0, 8, 3, dtype=np.uint8)
        path.write_bytes(damaged[: rng.integers(100, 2 * len(whole))].tobytes())
        try:
            labels = sbd_objects(path)[0]
            assert labels.ndim == 2
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            refused += 1
    assert refused > 50


def test_other_versions_of_matlab_files_are_refused(sbd: Path) -> None:
    path = sbd / "cls" / "a.mat"
    savemat(path, {"GTcls": np.eye(3)}, format="4")
    with pytest.raises(ValueError, match=r"a\.mat cannot be read .*not of version 5 to 7"):
        sbd_labels(path)
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + bytes([0, 2]) + b"IM" + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"a\.mat cannot be read .*not of version 5 to 7"):
        sbd_labels(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "holds the value nan in 1 pixels"),
        (np.inf, "holds the value inf in 1 pixels"),
        (0.5, r"holds the value 0\.5 in 1 pixels"),
        (-1, "holds the value -1.0 in 1 pixels"),
        (3 + 1j, r"holds complex128 \[4, 5\]"),
    ],
)
def test_masks_of_other_numbers_are_refused(sbd: Path, value: complex, message: str) -> None:
    labels = np.zeros((4, 5), dtype=type(value) if isinstance(value, complex) else float)
    labels[1, 2] = value
    savemat(sbd / "cls" / "a.mat", {"GTcls": {"Segmentation": labels}})
    with pytest.raises(ValueError, match=rf"a\.mat {message}; wanted a map \[H, W\] of 0\.\.20"):
        sbd_labels(sbd / "cls" / "a.mat")


def test_sparse_masks_are_refused(sbd: Path) -> None:
    savemat(sbd / "cls" / "a.mat", {"GTcls": {"Segmentation": csc_array(np.eye(4))}})
    with pytest.raises(ValueError, match=r"a\.mat: GTcls\.Segmentation is a csc_.*; wanted a full array"):
        sbd_labels(sbd / "cls" / "a.mat")


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([8.5, 12], "Categories holds NaN, fractions or numbers beyond 2"),
        ([8, np.nan], "Categories holds NaN, fractions or numbers beyond 2"),
        ([8, 1e300], "Categories holds NaN, fractions or numbers beyond 2"),
        ([8, 12 + 1j], "Categories holds complex128"),
        ([8, 21], "holds an object with the label 21; wanted 1..20"),
        ([0, 8], "holds an object with the label 0; wanted 1..20"),
    ],
)
def test_labels_of_objects_have_to_be_classes(sbd: Path, categories: list, message: str) -> None:
    content = {"Segmentation": np.ones((2, 2), dtype=np.uint8), "Categories": np.array(categories)}
    savemat(sbd / "inst" / "a.mat", {"GTinst": content})
    with pytest.raises(ValueError, match=rf"inst/a\.mat(: GTinst\.| ){message}"):
        sbd_objects(sbd / "inst" / "a.mat")


def test_without_scipy_the_extra_is_named(sbd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ImportError, match=r"pip install 'crfrnn\[sbd\]'"):
        sbd_labels(sbd / "cls" / "a.mat")


def test_train_aug(sbd: Path, voc: Path, add_sample: Callable[..., Tensor], add_list: Callable[..., Path]) -> None:
    """SBD has a, b and c. VOC trains on a and d, has objects for d, and keeps c for val; e has no mask anywhere."""
    for name in "abcde":
        add_sample(voc, name, label=15)
    for name in "be":
        (voc / "SegmentationClass" / f"{name}.png").unlink()
    (voc / "SegmentationObject").mkdir()
    write_labels(voc / "SegmentationObject" / "d.png", torch.full((8, 10), 4))
    add_list(voc, "train", "a", "d", "e")
    add_list(voc, "val", "c")
    report = train_aug.make_train_aug(voc.parents[0], sbd)
    assert report.counts == {
        "SBD train": 2, "SBD val": 1, "VOC train": 3, "VOC val": 1, "train_aug": 3, "weak": 1, "objects": 3
    }  # fmt: skip
    assert report.missing == {"e": ["cls/e.mat"]}
    assert not report.complete
    assert "SBD train       2       8498" in str(report)
    assert "e: no cls/e.mat; left out" in str(report)
    assert (voc / "ImageSets" / "Segmentation" / "train_aug.txt").read_text().split() == ["a", "b", "d"]
    masks = {name: read_labels(voc / "SegmentationClassAug" / f"{name}.png").unique().tolist() for name in "abd"}
    assert masks == {"a": [0, 15, 255], "b": [0, 8, 12], "d": [0, 15, 255]}  # VOC's own on top
    objects = {name: read_labels(voc / "SegmentationObjectAug" / f"{name}.png").unique().tolist() for name in "abd"}
    assert objects == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3], "d": [4]}


def test_train_aug_keeps_what_is_there(
    sbd: Path, voc: Path, add_list: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    add_list(voc, "train", "2007_000039")
    add_list(voc, "val", "a", "b", "c")
    kept = voc / "SegmentationClassAug" / "2007_000039.png"
    before = kept.stat().st_mtime_ns
    assert train_aug.main(["--voc", str(voc), "--sbd", str(sbd)]) == 1
    assert kept.stat().st_mtime_ns == before
    assert "train_aug       1      10582" in capsys.readouterr().out
    assert train_aug.main(["--voc", str(voc / "nowhere"), "--sbd", str(sbd)]) == 2
