from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crfrnn.data import read_image, read_labels


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


@pytest.mark.parametrize("read", [read_image, read_labels])
def test_missing_file(tmp_path: Path, read) -> None:
    with pytest.raises(FileNotFoundError, match=r"no image file .*nowhere\.jpg"):
        read(tmp_path / "nowhere.jpg")
