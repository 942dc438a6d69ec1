"""The header of a recipe says what it needs, in one form, and how it is run; both are true."""

import importlib.util
import inspect
import re
import shlex
from pathlib import Path

import pytest

from tests.commands import run_in_empty_folder
from train.recipes import RECIPES


def sections(name: str) -> dict[str, list[str]]:
    """The lines of Needs, Command, Hardware, Duration and Score in the header of a recipe."""
    found: dict[str, list[str]] = {}
    header = (inspect.getdoc(importlib.import_module(f"train.recipes.{name}")) or "").split("\n\n")[1]
    for line in header.splitlines():
        word, text = line[:11].strip(), line[11:]
        if word:
            found[word] = []
        found[list(found)[-1]].append(text)
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_what_a_recipe_needs(name: str) -> None:
    assert list(sections(name)) == ["Needs", "Command", "Hardware", "Duration", "Score"]
    lines = dict(line.split(": ", 1) for line in sections(name)["Needs"])
    if name == "toy":
        assert lines == {"nothing": "without --data, pictures are generated"}
        return
    recipe = RECIPES[name]
    sources = [source for stage in recipe.stages.values() for source in stage.mixture.values()]
    own = "FILE" if recipe.network == "deeplabv3-mobilenetv2" else "imagenet"
    wanted = {"--data": [recipe.val_list], "--init": [own]}
    for source in sources:
        wanted.setdefault("--coco" if source.data == "coco" else "--data", []).append(source.split)
        if source.masks is not None:
            wanted.setdefault("--targets", []).extend([source.masks, source.split])
    if any(not stage.mixture for stage in recipe.stages.values()):
        wanted["--data"].append(recipe.train_list)
    if "--coco" in wanted or recipe.parts.wanted:
        wanted["packages"] = ["coco" if "--coco" in wanted else "parts"]
    assert lines.keys() == wanted.keys()
    for flag, names in wanted.items():
        assert set(names) <= set(re.findall(r"\w+", lines[flag]))
    for flag in lines.keys() - {"packages"}:
        assert any(flag in command for command in sections(name)["Command"])


@pytest.mark.parametrize("name", RECIPES)
def test_commands_of_headers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in sections(name)["Command"]:
        run_in_empty_folder(shlex.split(command), monkeypatch, capsys)
    for module in re.findall(r"python -m ([\w.]+)", " ".join(sections(name)["Needs"])):
        assert importlib.util.find_spec(module) is not None
