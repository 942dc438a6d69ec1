"""Numbers and names of a recipe that make no sense are refused when the command line is read, by the name of their flag."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from train.folder import plain
from train.options import parse
from train.recipes import RECIPES, EStep, Source, Stage
from train.recipes.limits import LIMITS, numbers
from train.run import main

SOURCE = Source(count=2, split="train", annotation="image", e_step=EStep())
STAGE = Stage(steps=3, batch_size=2, lr=0.1, dropout=0.5, mixture={"images": SOURCE})
RECIPE = replace(RECIPES["toy"], stages={"only": STAGE}, val_images=3, parts=replace(RECIPES["toy"].parts, side=40))
NUMBERS = {name: value for *_, name, value in numbers(RECIPE)}
# By the last word of their names: where 0 turns something off, or is a number like any other.
MAY_BE_ZERO = {
    "dropout", "extra_labels", "seed", "workers", "power", "warmup", "new_layers_multiplier", "last_layer_multiplier",
    "kernel_weight_multiplier", "compatibility_multiplier", "bandwidth_multiplier", "momentum", "weight_decay", "ema",
    "keep_every", "validate_every", "foreground_bias", "background_bias", "foreground_portion", "background_portion",
    "rounds", "appearance_weight", "smoothness_weight", "margin", "smallest", "patience", "damping",
    "guide_multiplier", "crf_decay", "jaccard", "lovasz", "guide_channels", "filter_multiplier",
    "trunk_memory",
}  # fmt: skip
MAY_BE_NEGATIVE = {"appearance_weight", "smoothness_weight"}


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., bool]:
    """Whether a run of RECIPE with a flag is refused because of that flag, in a line or as a mistyped value is."""
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(plain(RECIPE)))

    def ask(name: str, value: str) -> bool:
        flag = "--" + name.replace("_", "-")
        argv = ["--recipe", str(path), flag, *[value] * (2 if name.endswith("scale") and "input" not in name else 1)]
        try:
            parse(argv)
        except (ValueError, SystemExit) as error:
            said = str(error) + capsys.readouterr().err
            assert flag in said or "parts" in flag
            return True
        return False

    return ask


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_of_a_recipe_has_its_limits(refused: Callable, name: str) -> None:
    word = name.rpartition(".")[2]
    for value in ("nan", "inf", "-inf", "1e309", "1" + 40 * "0"):
        assert refused(name, value)
    assert refused(name, "-1") == (word not in MAY_BE_NEGATIVE)
    zero = word in MAY_BE_ZERO or name.endswith(("dense_crf.num_iterations", "crf_loss.weight"))
    assert refused(name, "0") != zero


def test_no_number_is_forgotten() -> None:
    for kind in LIMITS:
        types = get_type_hints(kind)
        wanted = {
            field.name for field in fields(kind) if {int, float} & {types[field.name], *get_args(types[field.name])}
        }
        assert set(LIMITS[kind]) == wanted


@pytest.mark.parametrize("other", ["--crf.damping=auto", "--crf.gradient=implicit"])
def test_frank_wolfe_by_itself(other: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--crf.solver", "frank_wolfe", other]) == 2
    assert "and --crf.solver frank_wolfe has none; leave one of them out" in capsys.readouterr().err


def test_a_range_begins_with_its_lower_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stages.joint.scale", "2", "0.5"]) == 2
    assert "--stages.joint.scale is 2.0 0.5; wanted the lower number first" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["../else", "a b", "", "last", "network-best", "network-100", "joint-iterations", "-x"]
)
def test_a_stage_has_a_name_of_its_own(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(plain(replace(RECIPE, stages={name: STAGE}))))
    assert main(["--recipe", str(path)]) == 2
    assert f"a stage is called {name!r}; wanted letters" in capsys.readouterr().err


def test_a_recipe_without_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"stages": {}}))
    assert main(["--recipe", str(path)]) == 2
    assert "has no stages" in capsys.readouterr().err
