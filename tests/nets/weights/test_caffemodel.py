"""Caffe's files: what is written byte by byte comes back, and nothing else passes for one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crfrnn.nets.weights.caffemodel import read_caffemodel
from tests.caffe_bytes import blob, chunk, net, new_layer, number

RNG = np.random.default_rng(0)
LAYERS = {
    "conv1_1": [RNG.standard_normal((4, 3, 3, 3), dtype=np.float32), RNG.standard_normal(4, dtype=np.float32)],
    "fc7": [RNG.standard_normal((5, 4), dtype=np.float32), RNG.standard_normal(5, dtype=np.float32)],
    "upscore": [RNG.standard_normal((2, 2, 4, 4), dtype=np.float32)],
}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("old", [True, False])
def test_layers_come_back(tmp_path: Path, old: bool) -> None:
    layers = read_caffemodel(written(tmp_path / "a.caffemodel", net(LAYERS, old=old)))
    assert list(layers) == list(LAYERS)
    for name, blobs in LAYERS.items():
        assert len(layers[name]) == len(blobs)
        for theirs, ours in zip(blobs, layers[name], strict=True):
            assert ours.shape == ((1,) * (4 - theirs.ndim) + theirs.shape if old else theirs.shape)
            assert ours.dtype == torch.float32
            assert np.array_equal(ours.numpy().ravel(), theirs.ravel())


def test_doubles_and_several_chunks(tmp_path: Path) -> None:
    values = RNG.standard_normal((2, 3))
    layers = read_caffemodel(written(tmp_path / "a.caffemodel", new_layer("fc6", [values], double=True)))
    assert np.array_equal(layers["fc6"][0].numpy(), values.astype(np.float32))
    halves = [chunk(5, part.astype("<f4").tobytes()) for part in values]  # a packed field may come in pieces
    content = chunk(7, number(1, 2) + number(1, 3)) + b"".join(halves)
    layers = read_caffemodel(written(tmp_path / "b.caffemodel", chunk(100, chunk(1, b"fc6") + chunk(7, content))))
    assert np.array_equal(layers["fc6"][0].numpy(), values.astype(np.float32))


@pytest.mark.parametrize("old", [True, False])
def test_a_file_cut_short_is_refused(tmp_path: Path, old: bool) -> None:
    whole = net({"fc7": LAYERS["fc7"]}, old=old)
    for length in range(len(whole) - 1, len(whole) - 150, -7):
        path = written(tmp_path / "cut.caffemodel", whole[:length])
        with pytest.raises(ValueError, match=r"cut\.caffemodel.*cut short"):
            read_caffemodel(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_caffemodel(tmp_path / "nowhere.caffemodel")
    for name, content in {"empty": b"", "text": b"name: 'VGG'\nlayers {\n}\n", "noise": RNG.bytes(1000)}.items():
        path = written(tmp_path / f"{name}.caffemodel", content)
        with pytest.raises(ValueError, match=f"{name}.*(no layer with weights|cannot be read)"):
            read_caffemodel(path)


def test_damaged_blobs_are_named(tmp_path: Path) -> None:
    short = blob(np.zeros((2, 3), np.float32), old=False).replace(b"\x02\x03", b"\x02\x04", 1)
    path = written(tmp_path / "a.caffemodel", chunk(100, chunk(1, b"fc6") + chunk(7, short)))
    with pytest.raises(ValueError, match=r"blob 0 of layer 'fc6'.*\[2, 4\] but 24 bytes.*not 32"):
        read_caffemodel(path)
    path = written(tmp_path / "b.caffemodel", chunk(100, chunk(1, b"fc6") + chunk(7, b"")))
    with pytest.raises(ValueError, match=r"blob 0 of layer 'fc6'.*0 bytes"):
        read_caffemodel(path)
    path = written(tmp_path / "c.caffemodel", net(LAYERS, old=False) + net(LAYERS, old=True))
    with pytest.raises(ValueError, match="two layers called 'conv1_1'"):
        read_caffemodel(path)
