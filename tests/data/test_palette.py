from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crfrnn.data import colorize, read_labels, voc_palette, write_labels

# Label -> color, as in the development kit of VOC.
COLOURS = {
    0: (0, 0, 0),
    1: (128, 0, 0),
    2: (0, 128, 0),
    3: (128, 128, 0),
    4: (0, 0, 128),
    5: (128, 0, 128),
    6: (0, 128, 128),
    7: (128, 128, 128),
    8: (64, 0, 0),
    9: (192, 0, 0),
    10: (64, 128, 0),
    11: (192, 128, 0),
    12: (64, 0, 128),
    13: (192, 0, 128),
    14: (64, 128, 128),
    15: (192, 128, 128),
    16: (0, 64, 0),
    17: (128, 64, 0),
    18: (0, 192, 0),
    19: (128, 192, 0),
    20: (0, 64, 128),
    255: (224, 224, 192),
}


def test_palette_has_the_colors_of_voc() -> None:
    palette = voc_palette()
    assert palette.shape == (256, 3)
    assert palette.dtype == torch.uint8
    assert {label: tuple(palette[label].tolist()) for label in COLOURS} == COLOURS
    assert len({tuple(color) for color in palette.tolist()}) == 256


@pytest.mark.parametrize("shape", [(5, 7), (1, 9), (2, 5, 7)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_colorize(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    labels = torch.randint(0, 21, shape, dtype=dtype)
    labels[..., 0, 0] = 255
    colors = colorize(labels)
    assert colors.dtype == torch.uint8
    assert colors.shape == (*shape[:-2], 3, *shape[-2:])
    for index in np.ndindex(*shape):
        pixel = colors[(*index[:-2], slice(None), *index[-2:])]
        assert tuple(pixel.tolist()) == COLOURS[int(labels[index])]


@pytest.mark.parametrize("shape", [(6, 4), (1, 11), (11, 1)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_write_then_read(tmp_path: Path, shape: tuple[int, int], dtype: torch.dtype) -> None:
    labels = torch.randint(0, 256, shape).to(dtype)
    write_labels(tmp_path / "mask.png", labels.T.contiguous().T)
    back = read_labels(tmp_path / "mask.png")
    assert back.dtype == torch.uint8
    assert torch.equal(back.long(), labels.long())
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]


def test_written_file_shows_the_colors(tmp_path: Path) -> None:
    labels = torch.tensor([list(COLOURS)])
    write_labels(tmp_path / "mask.png", labels)
    with Image.open(tmp_path / "mask.png") as picture:
        assert picture.mode == "P"
        seen = np.asarray(picture.convert("RGB"))[0]
    assert [tuple(color) for color in seen.tolist()] == list(COLOURS.values())


def test_indices_are_read_whatever_the_palette_says(tmp_path: Path) -> None:
    picture = Image.new("P", (3, 1))
    picture.putpalette([9, 9, 9] * 256)
    picture.putdata([0, 7, 255])
    picture.save(tmp_path / "mask.png")
    assert read_labels(tmp_path / "mask.png").tolist() == [[0, 7, 255]]


def test_grayscale_masks_are_labels(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 20, 255]], np.uint8)).save(tmp_path / "mask.png")
    assert read_labels(tmp_path / "mask.png").tolist() == [[0, 20, 255]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16", "1"])
def test_color_mask_is_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 3)).save(tmp_path / "colors.png")
    with pytest.raises(ValueError, match=rf"colors\.png holds {mode} pixels; wanted .*write_labels"):
        read_labels(tmp_path / "colors.png")


def test_failed_write_keeps_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "mask.png"
    write_labels(target, torch.ones(2, 2, dtype=torch.uint8))

    def fail_half_way(self: Image.Image, path: Path, format: str) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail_half_way)
    with pytest.raises(OSError, match="disk full"):
        write_labels(target, torch.zeros(2, 2, dtype=torch.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]
    assert read_labels(target).tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (torch.zeros(2, 3), TypeError, "float32; wanted integers"),
        (torch.zeros(2, 3, dtype=torch.bool), TypeError, "bool; wanted integers"),
        (torch.tensor([[0, 256]]), ValueError, r"labels 0\.\.256; wanted 0\.\.255"),
        (torch.tensor([[-1, 3]]), ValueError, r"labels -1\.\.3; wanted 0\.\.255"),
        (torch.zeros(1, 2, 3, dtype=torch.uint8), ValueError, r"shape \[1, 2, 3\]; wanted \[H, W\]"),
        (torch.zeros(0, 3, dtype=torch.uint8), ValueError, r"shape \[0, 3\]; wanted \[H, W\]"),
    ],
)
def test_labels_that_cannot_be_written(
    tmp_path: Path, labels: torch.Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        write_labels(tmp_path / "mask.png", labels)
    assert not list(tmp_path.iterdir())
