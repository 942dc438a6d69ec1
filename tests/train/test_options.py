"""Recipes: as they are, from the command line, and from the file of a run."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from crfrnn.nets import NETWORKS
from train.folder import differences, plain
from train.options import parse, shortened
from train.recipes import RECIPES, Stage
from train.stages import headline


@pytest.mark.parametrize("name", RECIPES)
def test_stages_of_a_recipe_follow_one_another(name: str) -> None:
    earlier: list[str] = []
    for stage_name, stage in RECIPES[name].stages.items():
        assert stage.start is None or stage.start in earlier
        assert (stage.network or RECIPES[name].network) in NETWORKS
        earlier.append(stage_name)


def test_the_published_schedules() -> None:
    """deeplab.prototxt and train.prototxt of the releases: rates, batches, momentum."""
    voc, msc = RECIPES["voc"].stages["network"], RECIPES["voc_msc"].stages["msc"]
    wanted = (6000, 30, 0.001, "step", 2000, 0.9, 5e-4, 321, 8)
    for stage in (voc, msc):
        found = (stage.steps, stage.batch_size, stage.lr, stage.schedule, stage.step_size, stage.momentum)
        assert (*found, stage.weight_decay, stage.crop, stage.loss_stride) == wanted
    assert (voc.last_layer_multiplier, msc.last_layer_multiplier) == (10.0, 1.0)
    fcn = RECIPES["voc_fcn8s"].stages
    assert [stage.lr for stage in fcn.values()] == [1e-10, 1e-12, 1e-14, 1e-13, 1e-13]
    joint = fcn["joint"]
    assert joint.lr * joint.kernel_weight_multiplier == pytest.approx(1e-9)
    assert joint.lr * joint.compatibility_multiplier == pytest.approx(1e-10)


def test_fields_on_the_command_line() -> None:
    name, options = parse(
        [
            "--recipe",
            "voc_small",
            "--stages.joint.lr",
            "0.5",
            "--crf.learn-bandwidths",
            "--crf.learn-filter",
            "--seed",
            "3",
        ]
    )
    assert name == "voc_small"
    wanted = RECIPES["voc_small"]
    assert options.recipe.stages["joint"] == replace(wanted.stages["joint"], lr=0.5)
    assert options.recipe.stages["network"] == wanted.stages["network"]
    assert options.recipe.crf.learn_bandwidths
    assert options.recipe.crf.learn_filter
    assert options.recipe.seed == 3


def test_a_file_is_a_recipe_to_begin_with(tmp_path: Path) -> None:
    path = tmp_path / "mine" / "recipe.json"
    path.parent.mkdir()
    path.write_text(json.dumps(plain(replace(RECIPES["msrc"], seed=7))))
    name, options = parse(["--recipe", str(path), "--width", "0.5"])
    assert (name, options.recipe.seed, options.recipe.width, options.recipe.train_list) == ("mine", 7, 0.5, "Train")
    # to continue a run is to continue with its recipe
    _, options = parse(["--resume", "--out", str(path.parent)])
    assert options.recipe.seed == 7


def test_differences_are_named_by_their_place() -> None:
    assert differences({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 5}, "e": 3}) == ["a.c", "e", "d"]


def test_a_rehearsal_writes_everything_in_two_steps() -> None:
    stages = {"network": Stage(steps=900, batch_size=12, lr=1.0, accumulate=3, save_every=50, warmup=10)}
    short = shortened(replace(RECIPES["toy"], stages=stages), 1).stages["network"]
    assert (short.steps, short.batch_size, short.save_every, short.keep_every) == (2, 3, 1, 2)
    assert shortened(replace(RECIPES["toy"], stages=stages), None).stages["network"].batch_size == 12


def test_a_run_says_what_it_changes_in_its_recipe(tmp_path: Path) -> None:
    argv = ["--recipe", "voc", "--data", "VOC", "--width", "0.5", "--stages.joint.steps", "7", "--out", str(tmp_path)]
    _, options = parse(argv)
    run = SimpleNamespace(recipe=options.recipe, out=tmp_path)
    steps = RECIPES["voc"].stages["joint"].steps
    assert headline(run, argv).splitlines() == [  # type: ignore[arg-type]
        f"recipe voc; all fields are in {tmp_path / 'recipe.json'}",
        f"  stages.joint.steps: 7 (in the recipe {steps})",
        f"  stages.control.steps: 7 (in the recipe {steps})",  # which is like the joint stage
        "  width: 0.5 (in the recipe 1.0)",
    ]
