from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from crfrnn.data import Sample
from eval.pictures.figures import (
    Album,
    Example,
    matrices_figure,
    matrix_figure,
    overlay,
    overlay_figure,
    panel,
    save_figure,
    wrapped,
)

CLASSES = ["background", "cat", "dog"]


def example(name: str, height: int = 40, width: int = 60, columns: tuple[str, ...] = ("truth", "network")) -> Example:
    labels = {}
    for i, column in enumerate(columns):
        labels[column] = torch.zeros(height, width, dtype=torch.uint8)
        labels[column][10 + i : 20, 10:30] = 1
    return Example(name, torch.full((3, height, width), 100, dtype=torch.uint8), labels)


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def saved(figure: Figure, path: Path) -> np.ndarray:
    save_figure(figure, path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.array(picture.convert("RGB"))


def test_overlay_is_half_transparent_with_solid_edges() -> None:
    image = torch.full((3, 5, 5), 100, dtype=torch.uint8)
    labels = torch.zeros(5, 5, dtype=torch.int64)
    labels[1:4, 1:4] = 1  # VOC's color of label 1 is (128, 0, 0)
    picture = overlay(image, labels, CLASSES)
    assert picture[:, 2, 2].tolist() == [114, 50, 50]
    assert picture[:, 1, 2].tolist() == [128, 0, 0]
    assert picture[:, 0, 2].tolist() == [100, 100, 100]


def test_overlay_paints_all_labels_where_none_is_background() -> None:
    image = torch.full((3, 2, 2), 100, dtype=torch.uint8)
    picture = overlay(image, torch.zeros(2, 2, dtype=torch.int64), ["building", "grass"])
    assert picture.unique().tolist() == [50]


def test_overlay_of_another_size_is_an_error() -> None:
    with pytest.raises(ValueError, match="equal size"):
        overlay(torch.zeros(3, 2, 3, dtype=torch.uint8), torch.zeros(3, 2, dtype=torch.int64), CLASSES)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (29, 29), (113, 500), (7, 1201)])
def test_overlay_figure_shows_every_pixel_above_its_legend(tmp_path: Path, height: int, width: int) -> None:
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    labels = torch.randint(0, 3, (height, width))
    labels[0, 0] = 255
    pixels = saved(overlay_figure(image, labels, CLASSES), tmp_path / "overlay.png")
    assert np.array_equal(pixels[:height, :width], overlay(image, labels, CLASSES).permute(1, 2, 0).numpy())
    assert pixels.shape[0] > height + 20
    assert (pixels[height:] != 255).any()


def test_legend_names_the_labels_present() -> None:
    labels = torch.tensor([[0, 2, 255]])
    figure = overlay_figure(torch.zeros(3, 1, 3, dtype=torch.uint8), labels, CLASSES)
    assert legend(figure) == ["background", "dog", "void"]
    assert legend(panel([example("a")], CLASSES)) == ["background", "cat"]


def test_panel_has_a_row_per_example_and_titled_columns(tmp_path: Path) -> None:
    figure = panel([example("a"), example("b", height=90)], CLASSES)
    assert [axes.get_title() for axes in figure.axes] == ["input", "truth", "network", "", "", ""]
    pixels = saved(figure, tmp_path / "new" / "panel.png")
    height = 150 * 2.6 * (40 / 60 + 90 / 60)
    assert pixels.shape[1] == pytest.approx(3 * 2.6 * 150, abs=1)
    assert height < pixels.shape[0] < height + 150
    corner = pixels[round(height / 2), 5]  # in the first column, an image of one gray
    assert corner.tolist() == [100, 100, 100]


def test_titles_break_between_words_but_not_within_a_number_of_iterations() -> None:
    lines = wrapped("CRF parameters alone, T = 5", 26).replace("\N{NO-BREAK SPACE}", " ").split("\n")
    assert lines == ["CRF parameters alone,", "T = 5"]


def test_panel_needs_examples_of_the_same_columns() -> None:
    with pytest.raises(ValueError, match="no example"):
        panel([], CLASSES)
    with pytest.raises(ValueError, match="b has other columns than a"):
        panel([example("a"), example("b", columns=("truth",))], CLASSES)


def test_album_gathers_rows_of_several_evaluations() -> None:
    album = Album(["a"], rows=["network", "CRF-RNN"])
    truth, first, second = (torch.full((1, 1), i, dtype=torch.uint8) for i in range(3))
    for name in ("a", "b"):
        sample = Sample(torch.zeros(3, 1, 1, dtype=torch.uint8), truth, name)
        album(sample, torch.zeros(1, 2, 1, 1), {"network": first, "not asked for": first})
        album(sample, torch.zeros(1, 2, 1, 1), {"CRF-RNN": second})
    assert [found.name for found in album.examples] == ["a"]
    assert album.examples[0].labels == {"truth": truth, "network": first, "CRF-RNN": second}


def test_a_figure_that_cannot_be_drawn_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "panel.png"
    path.write_text("old")

    def fail(self: Figure, partial: Path, **_: object) -> None:
        partial.write_text("half")
        raise MemoryError

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(MemoryError):
        save_figure(panel([example("a")], CLASSES), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("ending", "beginning"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_the_ending_chooses_the_format_and_the_day_does_not_matter(
    ending: str, beginning: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{i}.{ending}" for i in range(2)]
    for day, path in enumerate(paths):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(86400 * day))  # what matplotlib would take for now
        save_figure(matrix_figure(torch.eye(2), ["cat", "dog"], "penalties"), path)
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(beginning)
    assert first == second
    assert b"/Type3" not in first  # fonts that publishers refuse


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"figure.jpg; wanted a name that ends in \.png or \.pdf or \.svg"):
        save_figure(matrix_figure(torch.eye(2), ["cat", "dog"], "penalties"), tmp_path / "figure.jpg")


def test_a_matrix_is_labeled_on_both_sides_with_its_values() -> None:
    matrix = torch.tensor([[0.0, 2.0], [-1.0, 0.5]])
    figure = matrix_figure(matrix, ["cat", "dog"], "penalties")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    values = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in axes.texts}
    assert values == {(0, 0): "0.00", (0, 1): "2.00", (1, 0): "-1.00", (1, 1): "0.50"}
    assert axes.images[0].get_clim() == (-2.0, 2.0)


def test_matrices_share_a_scale_and_large_ones_leave_their_values_out() -> None:
    small = matrices_figure({"before": torch.zeros(3, 3), "after": torch.eye(3)}, CLASSES)
    before, after, _ = small.axes
    assert (before.get_title(), after.get_title()) == ("before", "after")
    assert before.images[0].get_clim() == after.images[0].get_clim() == (-1, 1)
    assert len(before.texts) == 9
    large = matrices_figure({"after": torch.eye(250)}, [f"part {i}" for i in range(250)])
    assert not large.axes[0].texts
    assert max(large.get_size_inches() * large.dpi) < 4000
