"""recipe.json: every recipe survives it, and a file that is none is refused in one line with the field and the way out."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from train.folder import plain
from train.recipes import RECIPES
from train.recipes.reading import read_recipe
from train.run import main


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_its_file(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    recipe = replace(
        recipe, belief_labels=("cat", "potted plant"), crf=replace(recipe.crf, learn_bandwidths=True, damping="auto")
    )
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(plain(recipe)), encoding="utf-8-sig")  # as editors on Windows begin their files
    assert read_recipe(path) == recipe
    assert asdict(read_recipe(path)) == asdict(recipe)


def renamed(content: dict, old: str, new: str) -> None:
    content[new] = content.pop(old)


CHANGES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (
        lambda it: renamed(it["crf"], "appearance_weight", "bilateral_weight"),
        "there is no field crf.bilateral_weight; rename it to one of theta_alpha, theta_beta, theta_gamma, ",
    ),
    (
        lambda it: renamed(it["stages"]["network"], "lr", "rate"),
        "there is no field stages.network.rate; rename it to one of steps, batch_size, lr, ",
    ),
    (lambda it: it["stages"]["network"].pop("lr"), "the field stages.network.lr is missing; add it"),
    (lambda it: it["stages"]["joint"].update(steps="many"), "stages.joint.steps is 'many'; wanted a whole number"),
    (lambda it: it["stages"]["joint"].update(steps=1.0), "stages.joint.steps is 1.0; wanted a whole number"),
    (lambda it: it.update(seed=True), "seed is True; wanted a whole number"),
    (lambda it: it.update(width=10**400), "wanted a number"),
    (lambda it: it.update(autocast="bf8"), "autocast is 'bf8'; wanted 'off' or 'bf16' or 'fp16'"),
    (lambda it: it["stages"]["joint"].update(scale=[1]), "scale is [1]; wanted a list of 2, each a number"),
    (lambda it: it.update(belief_labels="cat"), "belief_labels is 'cat'; wanted a list, each a text"),
    (lambda it: it["crf"].update(damping="much"), "crf.damping is 'much'; wanted a number or 'auto'"),
    (lambda it: it["crf"].update(damping=None), "crf.damping is None; wanted a number"),
    (lambda it: it.update(stages=[1]), "stages is [1]; wanted an object"),
    (lambda it: it["stages"].update(joint=1), "stages.joint is 1; wanted an object with the fields of Stage"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=[message[:40] for _, message in CHANGES])
def test_a_field_that_does_not_fit_is_named(
    change: Callable, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = plain(RECIPES["toy"])
    change(content)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(content))
    assert main(["--recipe", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"train.run: {path} is no recipe of this version: ")
    assert message in line


TEXT = json.dumps(plain(RECIPES["toy"]))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"\0" * 64, TEXT.encode("utf-16"), TEXT.encode()[:-1], b"\xff\xfe{}",
        TEXT.replace('"seed": 0', '"seed": Infinity').encode(),
        TEXT.replace('"seed": 0', '"seed": ' + "9" * 5000).encode(),
        TEXT.replace('"seed": 0', '"seed": ' + "[" * 100_000).encode(),
    ],
    ids=["empty", "cut", "list", "null", "zeros", "utf-16", "last byte", "no utf-8", "infinity", "digits", "nested"],
)  # fmt: skip
def test_a_damaged_file_is_named_in_one_line(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.json"
    path.write_bytes(content)
    assert main(["--recipe", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line


def test_a_run_whose_recipe_is_damaged_is_not_continued(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.json").write_text("{")
    for more in ([], ["--recipe", "toy"]):
        assert main(["--resume", "--data", str(toy), "--out", str(tmp_path), *more]) == 2
        assert f"{tmp_path / 'recipe.json'} cannot be read" in capsys.readouterr().err


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--recipe", str(tmp_path / "recipe.json")]) == 2
    assert f"there is no file {tmp_path / 'recipe.json'}" in capsys.readouterr().err
