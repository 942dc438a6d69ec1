from pathlib import Path

import pytest
from PIL import Image

from eval.inputs.photos import find_photos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("b.png", "a.jpeg", "deep/c.PNG"):
        Image.new("RGB", (2, 3)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    (tmp_path / "in" / "paper.pdf").write_text("Pillow writes these only")
    return tmp_path / "in"


def found(*given: Path) -> dict[str, str]:
    return {path.name: str(name) for path, name in find_photos(given).items()}


def test_a_folder_is_the_images_in_and_below_it(folder: Path) -> None:
    assert found(folder) == {"a.jpeg": "a", "b.png": "b", "c.PNG": "deep/c"}


def test_files_are_taken_as_they_are(folder: Path) -> None:
    assert found(folder / "notes.txt", folder / "missing.png") == {"notes.txt": "notes", "missing.png": "missing"}


@pytest.mark.parametrize(
    ("wildcard", "wanted"),
    [
        ("*", {"a.jpeg": "a", "b.png": "b", "c.PNG": "c"}),  # of the folder that matches, all
        ("**/*.PNG", {"c.PNG": "c"}),
        ("[ab].*", {"a.jpeg": "a", "b.png": "b"}),
        ("?otes.txt", {"notes.txt": "notes"}),
    ],
)
def test_wildcards(folder: Path, wildcard: str, wanted: dict[str, str]) -> None:
    assert found(folder / wildcard) == wanted


def test_a_name_with_the_signs_of_a_wildcard(folder: Path) -> None:
    (folder / "b.png").rename(folder / "[1].png")
    assert found(folder / "[1].png") == {"[1].png": "[1]"}


@pytest.mark.parametrize(("name", "message"), [("*.gif", "nothing matches"), ("empty", "holds no image")])
def test_nothing_found(folder: Path, name: str, message: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        find_photos([folder / name])
