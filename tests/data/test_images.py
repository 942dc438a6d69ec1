import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from crfrnn.data import read_image, read_labels
from crfrnn.data.images import stored_size
from eval.inputs.photos import read_photo


def test_channels_and_axes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    image = read_image(tmp_path / "image.png")
    assert image.dtype == torch.uint8
    assert image.shape == (3, 5, 7)
    assert image.is_contiguous()
    assert torch.equal(image.permute(1, 2, 0), torch.from_numpy(pixels))


def test_grayscale_photograph_becomes_rgb(tmp_path: Path) -> None:
    Image.new("L", (4, 3), 77).save(tmp_path / "gray.png")
    assert torch.equal(read_image(tmp_path / "gray.png"), torch.full((3, 3, 4), 77, dtype=torch.uint8))


GRAY16 = np.array([[0, 128, 129, 257, 385, 386], [32896, 40000, 65406, 65407, 65534, 65535]], dtype=np.uint16)
GRAY8 = [[0, 0, 1, 1, 1, 2], [128, 156, 254, 255, 255, 255]]  # value / 257 to the nearest whole number


def write_tiff(path: Path, pixels: bytes, bits: int = 16, photometric: int = 1, sample: int = 1) -> None:
    """A gray TIFF of 6 x 2 pixels, little-endian, as the standard has it: ten tags, the numbers in place."""
    tags = {256: 6, 257: 2, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 2, 279: len(pixels), 339: sample}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory)


def write_gray16(path: Path) -> None:
    if path.suffix == ".pgm":
        path.write_bytes(b"P5 6 2 65535\n" + GRAY16.astype(">u2").tobytes())
    elif path.suffix == ".tif":
        write_tiff(path, GRAY16.astype("<u2").tobytes())
    else:
        Image.fromarray(GRAY16.astype(">u2" if path.stem == "big" else "<u2")).save(path)


@pytest.mark.parametrize("read", [read_image, read_photo])
@pytest.mark.parametrize("name", ["gray.png", "gray.tif", "gray.tiff", "big.tiff", "gray.pgm"])
def test_gray_levels_of_16_bits(tmp_path: Path, read: Callable[[Path], Tensor], name: str) -> None:
    write_gray16(tmp_path / name)
    assert read(tmp_path / name).tolist() == [GRAY8] * 3


@pytest.mark.parametrize("read", [read_image, read_photo])
@pytest.mark.parametrize("kind", ["int32", "float32"])
def test_numbers_without_a_white_are_refused(tmp_path: Path, read: Callable[[Path], Tensor], kind: str) -> None:
    path = tmp_path / f"{kind}.tif"
    Image.fromarray(np.full((2, 3), 40_000, dtype=kind)).save(path)
    what = "whole" if kind == "int32" else "floating-point"
    with pytest.raises(
        ValueError, match=rf"{kind}\.tif holds 32-bit {what} numbers, .*; wanted 8 or 16 bits a channel"
    ):
        read(path)


@pytest.mark.parametrize("read", [read_image, read_photo])
def test_gray_levels_that_pillow_leaves_unscaled_are_refused(tmp_path: Path, read: Callable[[Path], Tensor]) -> None:
    write_tiff(tmp_path / "12.tif", bytes(18), bits=12)
    with pytest.raises(ValueError, match=r"12\.tif holds gray levels of 12 bits"):
        read(tmp_path / "12.tif")
    write_tiff(tmp_path / "negative.tif", bytes(24), photometric=0)
    with pytest.raises(ValueError, match=r"negative\.tif holds gray levels of 16 bits, 0 for white"):
        read(tmp_path / "negative.tif")
    write_tiff(tmp_path / "signed.tif", bytes(24), sample=2)
    with pytest.raises(ValueError, match=r"signed\.tif holds 32-bit whole numbers"):
        read(tmp_path / "signed.tif")


@pytest.mark.parametrize("read", [read_image, read_labels])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_damaged_files_are_named(tmp_path: Path, read, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    Image.fromarray(noise).save(whole)
    content = whole.read_bytes()
    flipped = bytearray(content)
    flipped[20] ^= 0xFF  # inside the header of both formats
    damages = {"cut": content[: len(content) // 2], "empty": b"", "text": b"<html>404</html>", "header": content[4:]}
    if suffix == "png":
        damages["flipped"] = bytes(flipped)
    for name, damaged in damages.items():
        path = tmp_path / f"{name}.{suffix}"
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{name}\.{suffix} cannot be decoded .*; wanted a complete image file"):
            read(path)


def png(width: int, height: int) -> bytes:
    """A PNG of 1-bit pixels that declares a size and holds a hundred bytes."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0),
        b"IDAT": zlib.compress(bytes(100)),
        b"IEND": b"",
    }
    coded = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(coded)


@pytest.mark.parametrize("read", [read_image, read_labels, stored_size])
def test_decompression_bombs_are_refused(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "bomb.png").write_bytes(png(60_000, 60_000))
    with pytest.raises(ValueError, match=r"bomb\.png cannot be decoded .*decompression bomb"):
        read(tmp_path / "bomb.png")


@pytest.mark.parametrize("read", [read_image, read_labels, stored_size])
def test_whatever_pillow_raises_names_the_file(tmp_path: Path, read: Callable[[Path], object]) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "a.dds")
    content = bytearray((tmp_path / "a.dds").read_bytes())
    content[80:84] = bytes(4)  # the kind of its pixels, for which Pillow raises NotImplementedError
    (tmp_path / "a.dds").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.dds cannot be decoded .*Unknown pixel format"):
        read(tmp_path / "a.dds")


def test_the_size_of_a_file(tmp_path: Path) -> None:
    Image.new("L", (4, 3)).save(tmp_path / "a.png")
    assert stored_size(tmp_path / "a.png") == (3, 4)


@pytest.mark.parametrize("read", [read_image, read_labels])
def test_missing_file(tmp_path: Path, read) -> None:
    with pytest.raises(FileNotFoundError, match=r"no image file .*nowhere\.jpg"):
        read(tmp_path / "nowhere.jpg")
