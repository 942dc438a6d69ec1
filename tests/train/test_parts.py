"""A run on parts: its label space, what the compatibility starts from, one head per class, and what it leaves."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from crfrnn.data import Parts, open_set
from crfrnn.nets import build_model, load_checkpoint
from crfrnn.nets.inference import IMPOSSIBLE
from eval.inputs.checkpoints import parts_of
from eval.run import main as evaluate_main
from eval.segment import main as segment_main
from eval.tuning.scored_images import ScoredImages, ScoreSource
from tests.part_files import pascal_object, write_pascal
from tests.train.children import without_pictures
from train.recipes import RECIPES, Crf, Stage
from train.run import main
from train.start import build_crf
from train.steps.mixture import ALONE
from train.steps.stream import Augmented, Key, collate

SIZE = (40, 48)


def animal(name: str, left: int) -> dict:
    """Side by side: a head, a body with legs below."""
    head, body, leg = (np.zeros(SIZE, np.uint8) for _ in range(3))
    head[10:20, left : left + 8] = 1
    body[10:24, left + 8 : left + 20] = 1
    leg[24:34, left + 10 : left + 14] = 1
    parts = [("head", head), ("torso", body), ("lfleg" if name == "cat" else "lfuleg", leg)]
    return pascal_object(name, head | body | leg, parts)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parts")
    write_pascal(root, "a", [animal("cat", 2)], SIZE)
    write_pascal(root, "b", [animal("cow", 24)], SIZE)
    write_pascal(root, "c", [animal("cat", 0), animal("cow", 26)], SIZE)
    (root / "own.txt").write_text("a\nb\nc\n")
    return root


@pytest.fixture(scope="module")
def arguments(root: Path) -> Callable[..., list[str]]:
    def make(out: Path, *more: str) -> list[str]:
        text = f"""--recipe parts_animal --data {root} --out {out} --train-list own --val-list own --val-images 2
            --width 0.03 --workers 0 --parts.classes cat cow --parts.side 24 --parts.smallest 8
            --stages.network.steps 3 --stages.network.batch-size 2 --stages.network.crop 33 --stages.network.save-every 1
            --stages.joint.steps 2 --stages.joint.batch-size 2 --stages.joint.crop 33 --stages.joint.lr 0.01
            --only network joint --stages.network.schedule poly
            --stages.network.validate-every 0 --stages.joint.validate-every 0"""
        return [*text.split(), *more]

    return make


@pytest.fixture(scope="module")
def finished(arguments: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "parts"
    assert main(arguments(out)) == 0
    return out


CLASSES = ["background", *(f"{name} {part}" for name in ("cat", "cow") for part in ("head", "body", "leg", "tail"))]


def test_a_run_leaves_scores_by_part_and_the_compatibility(finished: Path) -> None:
    scores = json.loads((finished / "scores.json").read_text())["scores"]
    untrained = ["CRF-RNN, untrained, T = 5", "CRF-RNN, untrained, T = 10"]
    assert list(scores) == ["network alone", "network + dense CRF", *untrained, "CRF-RNN, T = 5", "CRF-RNN, T = 10"]
    row = scores["CRF-RNN, T = 10"]
    assert list(row["iou"]) == CLASSES
    present = [value for name, value in row["iou"].items() if name != "background" and value is not None]
    assert row["subset_mean_iou"] == pytest.approx(sum(present) / len(present))
    assert (finished / "joint-compatibility.png").stat().st_size > 10_000
    assert (finished / "pictures.png").exists()
    assert not (finished / "network-compatibility.png").exists()


def test_a_checkpoint_says_what_its_labels_are(
    finished: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = parts_of(finished / "joint.pt")
    assert parts == Parts(classes=("cat", "cow"), merge="coarse", side=24, smallest=8, given_class=True)
    argv = f"--checkpoint {finished / 'joint.pt'} --data {root} --list own --iterations 5 --out {tmp_path / 'scores'}"
    assert evaluate_main(argv.split()) == 0
    again = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert again["subset"] == CLASSES[1:]
    trained = json.loads((finished / "scores.json").read_text())["scores"]
    assert again["scores"]["CRF-RNN T=5"] == trained["CRF-RNN, T = 5"]
    assert again["scores"]["network"] != trained["network alone"]  # the network within the joint model
    assert again["dense_crf"]["theta_alpha"] == 13
    assert segment_main(["photo.jpg", "--checkpoint", str(finished / "joint.pt")]) == 2
    assert "in crops around objects, at one scale; use eval.parts" in capsys.readouterr().err
    scored = ScoredImages(ScoreSource(root, checkpoint=finished / "joint.pt", split="own", sample=None))[0]
    impossible = (scored.unary[0] == IMPOSSIBLE).flatten(1).all(1)
    assert 0 < impossible.sum() < len(CLASSES) - 1


def test_an_interrupted_run_ends_in_the_same_bits(
    arguments: Callable, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object) -> None:
        raise RuntimeError("out of memory")

    without_pictures(monkeypatch.setattr)
    with monkeypatch.context() as patch:
        patch.setattr("train.steps.loop.Training.save_result", out_of_memory)
        with pytest.raises(RuntimeError, match="out of memory"):
            main(arguments(tmp_path / "run"))
    assert load_checkpoint(tmp_path / "run" / "last.pt")["training"]["step"] == 3
    assert main(arguments(tmp_path / "run", "--resume")) == 0
    ours, theirs = (load_checkpoint(out / "joint.pt")["model"] for out in (tmp_path / "run", finished))
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


def test_the_head_of_a_class_learns_from_its_crops_alone(
    arguments: Callable, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pictures(monkeypatch.setattr)
    (root / "cats.txt").write_text("a\n")
    more = ["--train-list", "cats", "--only", "network", "--stages.network.weight-decay", "0"]
    assert main(arguments(tmp_path / "run", *more)) == 0
    weights = load_checkpoint(tmp_path / "run" / "network.pt")["model"]["network.fc8.weight"].flatten(1)
    torch.manual_seed(0)
    start = build_model(num_labels=9, width=0.03).network.fc8.weight.flatten(1)
    changed = (weights != start).any(1)
    assert changed.tolist() == [True] * 5 + [False] * 4


def test_batches_say_which_labels_are_possible(root: Path) -> None:
    stage = Stage(steps=1, batch_size=1, lr=1.0, crop=33)
    free = Parts(classes=("cat", "cow"), merge="coarse")
    given = Parts(classes=("cat", "cow"), merge="coarse", side=24, given_class=True)
    items = Augmented([open_set(root, "own", given)], ALONE, stage)
    allowed = collate([items[Key(0, 0, 0)], items[Key(0, 1, 0)]]).allowed[:, :9]
    assert allowed.int().tolist() == [[1, 1, 1, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1, 1, 1, 1]]
    assert Augmented([open_set(root, "own", free)], ALONE, stage)[Key(0, 0, 0)].allowed.all()


def test_the_compatibility_starts_from_what_touches(root: Path) -> None:
    dataset = open_set(root, "own", Parts(classes=("cat", "cow"), merge="coarse", side=24))
    crf = build_crf(Crf(compatibility="adjacency"), dataset)
    penalties = crf.cell.compatibility
    head, body, leg, tail = (CLASSES.index(f"cat {part}") for part in ("head", "body", "leg", "tail"))
    assert penalties.requires_grad
    assert 0.5 <= penalties[head, body] < 1
    assert 0.5 <= penalties[body, leg] < 1
    assert penalties[head, leg] == penalties[head, tail] == penalties[head, CLASSES.index("cow head")] == 1
    assert torch.equal(build_crf(Crf(), dataset).cell.compatibility, 1 - torch.eye(9))


def test_a_recipe_chooses_the_solver(root: Path) -> None:
    dataset = open_set(root, "own", Parts(classes=("cat", "cow"), merge="coarse", side=24))
    for chosen in ({"solver": "frank_wolfe"}, {"damping": "auto", "gradient": "implicit"}):
        assert build_crf(Crf(**chosen), dataset).solver_settings() == chosen


@pytest.mark.parametrize("name", ["parts_person", "parts_animal", "parts_aeroplane"])
def test_recipes_have_the_bandwidth_of_parts(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.parts.wanted
    assert recipe.crf.compatibility == "adjacency"
    assert 9 <= recipe.crf.theta_alpha <= 21
    assert recipe.dense_crf.theta_alpha == recipe.crf.theta_alpha
    assert list(recipe.stages) == ["network", "joint", "control"]
