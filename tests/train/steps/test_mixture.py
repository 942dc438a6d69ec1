"""Runs over mixtures: interrupted, in two processes, seen in TensorBoard, with COCO beside VOC, and what cannot be mixed."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train.board.pictures
import train.steps.loop
from crfrnn.data import VOCSegmentation, write_labels
from crfrnn.folders import Folders
from crfrnn.nets import model_from_checkpoint
from eval.inputs.checkpoints import open_for
from tests.children import result
from tests.coco_files import annotation, write_coco
from tests.train.children import start, start_pair, without_pictures
from tests.train.interruptions import interrupted_in
from train.board.pictures import write_estimate
from train.folder import plain
from train.recipes import RECIPES, CrfLoss, EStep, Recipe, Source, Stage
from train.run import main
from train.steps.mixture import open_sets, sources
from train.targets import main as make_targets

MASKS = Source(count=1, split="train", weight=0.7)
IMAGES = Source(count=2, split="train", annotation="image")
BOXES = Source(count=1, split="train", annotation="boxes", masks="rect", weight=0.5, e_step=EStep("em-fixed", 6.0, 5.0))
SCRIBBLES = Source(count=2, split="train", annotation="scribbles", masks="scribbles", crf_loss=CrfLoss(0.5, 20.0, 10.0))
NETWORK = Stage(
    steps=6,
    batch_size=4,
    lr=0.01,
    last_layer_multiplier=1.0,
    crop=33,
    save_every=2,
    validate_every=3,
    mixture={"masks": MASKS, "images": IMAGES, "boxes": BOXES},
)
JOINT = replace(NETWORK, steps=4, trains="joint", loss_stride=4, validate_every=0, lr=0.001)
RECIPE = replace(RECIPES["toy"], width=0.03, workers=0, stages={"network": NETWORK, "joint": JOINT})


def write_recipe(path: Path, recipe: Recipe) -> str:
    path.mkdir(parents=True)
    (path / "recipe.json").write_text(json.dumps(plain(recipe)))
    return str(path / "recipe.json")


@pytest.fixture(scope="module")
def command(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """The command line of a run of RECIPE; its lists have 2 images with masks and 4 others."""
    folder = tmp_path_factory.mktemp("mixture")
    names = VOCSegmentation(toy, "train").names
    for split, own in (("strong", names[:2]), ("weak", names[2:])):
        (folder / f"{split}.txt").write_text("\n".join(own))
    data = ["--data", str(toy), "--out", str(folder / "targets"), "--list", str(folder / "weak.txt")]
    assert make_targets([*data, "--boxes", "regions", "--kinds", "rect"]) == 0
    recipe = write_recipe(folder / "recipe", RECIPE)
    lists = {"masks": "strong", "images": "weak", "boxes": "weak"}

    def make(out: Path, *more: str) -> list[str]:
        argv = ["--recipe", recipe, "--data", str(toy), "--targets", str(folder / "targets"), "--out", str(out)]
        for stage in ("network", "joint"):
            for source, split in lists.items():
                argv += [f"--stages.{stage}.mixture.{source}.split", str(folder / f"{split}.txt")]
        return [*argv, *more]

    return make


@pytest.fixture(autouse=True, scope="module")
def _no_pictures() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        without_pictures(patch.setattr)
        yield


@pytest.fixture(scope="module")
def whole(command: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with pictures of estimates, and no others."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.board.pictures, "write_estimate", write_estimate)
        assert main(command(out)) == 0
    return out


@pytest.mark.parametrize("step", [3, 8])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    command: Callable, assert_same_run: Callable, tmp_path: Path, whole: Path, step: int
) -> None:
    out = tmp_path / "run"
    with interrupted_in(step):
        main(command(out))
    assert main([*command(out), "--resume"]) == 0
    assert_same_run(out, whole)


def scalars(run: Path, stage: str, tag: str) -> list[float]:
    return [event.value for event in EventAccumulator(str(run / "tensorboard" / stage)).Reload().Scalars(tag)]


def test_two_processes_give_the_curves_of_one(command: Callable, tmp_path: Path, weights: Callable) -> None:
    single, pair = tmp_path / "single", tmp_path / "pair"
    assert result(start(command(single, "--dropout", "0"))) == 0
    assert [result(child) for child in start_pair(command(pair, "--dropout", "0"))] == [0, 0]
    for stage, steps in (("network", 6), ("joint", 4)):
        for tag in (
            "1 loss/training",
            "1 loss/of boxes",
            "share of images/background",
            "share of images/a label that is present",
        ):
            expected = scalars(single, stage, tag)
            assert len(expected) == steps
            assert scalars(pair, stage, tag) == pytest.approx(expected, rel=1e-4), tag
    ours, theirs = weights(pair / "joint.pt"), weights(single / "joint.pt")
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-5)


def test_the_loss_is_the_weighted_sum_of_those_of_the_sources(whole: Path) -> None:
    losses = {name: scalars(whole, "network", f"1 loss/of {name}") for name in ("masks", "images", "boxes")}
    total = [0.7 * a + b + 0.5 * c for a, b, c in zip(*losses.values(), strict=True)]
    assert scalars(whole, "network", "1 loss/training") == pytest.approx(total, rel=1e-5)


def test_tensorboard_shows_what_was_estimated(whole: Path) -> None:
    events = EventAccumulator(str(whole / "tensorboard" / "network"), size_guidance={"images": 0}).Reload()
    tags = events.Tags()
    assert {"estimated labels of images", "estimated labels of boxes"} <= set(tags["images"])
    assert [event.step for event in events.Images("estimated labels of images")] == [1, 3, 5]
    assert not any("masks" in tag for tag in tags["images"] if "estimated" in tag)
    shares = [tag for tag in tags["scalars"] if tag.startswith("share of images/")]
    assert len(shares) == 3
    assert scalars(whole, "network", "share of images/labels that are absent") == [0] * 6  # EM-Adapt
    assert min(scalars(whole, "network", "share of images/background")) > 0.1


def test_a_dry_run_of_a_mixture(command: Callable, tmp_path: Path) -> None:
    assert main(command(tmp_path / "run", "--dry-run")) == 0
    recipe = json.loads((tmp_path / "run" / "dry-run" / "recipe.json").read_text())
    found = recipe["stages"]["network"]
    assert (found["batch_size"], [it["count"] for it in found["mixture"].values()]) == (3, [1, 1, 1])


def test_cross_joint(tmp_path: Path, weights: Callable) -> None:
    """VOC's 21 labels and COCO's 81 on one trunk; at test time there are 21."""
    voc = tmp_path / "voc"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (voc / folder).mkdir(parents=True)
    for split in ("train", "val"):
        (voc / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(f"{split}0")
        Image.new("RGB", (40, 40), (20, 90, 200)).save(voc / "JPEGImages" / f"{split}0.jpg")
        labels = torch.zeros(40, 40, dtype=torch.uint8)
        labels[:, :20] = 8
        write_labels(voc / "SegmentationClass" / f"{split}0.png", labels)
    square = [[0, 0, 30, 0, 30, 30, 0, 30]]
    coco = write_coco(
        tmp_path / "coco", "train", [annotation(52, square), annotation(17, square, 10)], (40, 40), (9, 10)
    )
    mixture = {
        "voc": Source(count=1, split="train"),
        "coco": Source(count=1, split="train", data="coco", joint=True),
    }
    stage = replace(NETWORK, steps=2, batch_size=2, mixture=mixture)
    joint = replace(RECIPE, extra_labels=60, stages={"network": stage, "joint": replace(JOINT, steps=1, mixture={})})
    argv = ["--recipe", write_recipe(tmp_path / "recipe", joint), "--data", str(voc), "--out", str(tmp_path / "run")]
    assert main(argv) == 2  # no --coco
    assert main([*argv, "--coco", str(coco), "--stages.joint.batch-size", "1"]) == 0
    tensors = weights(tmp_path / "run" / "network.pt")
    assert tensors["network.fc8.weight"].shape[0] == 81
    model, classes = model_from_checkpoint(tmp_path / "run" / "joint.pt")
    assert len(classes) == 21
    image = 255 * torch.rand(1, 3, 24, 30)
    assert model(image).shape == (1, 21, 24, 30)
    assert model.all_scores(image).shape[1] == 81


def stage_of(**mixture: Source) -> Stage:
    return replace(NETWORK, mixture=mixture, batch_size=sum(source.count for source in mixture.values()))


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            replace(stage_of(a=MASKS), batch_size=2),
            "--stages.only.batch-size is 2, and the counts of its mixture come to 1",
        ),
        (stage_of(a=replace(BOXES, e_step=EStep())), "--stages.only.mixture.a.annotation is boxes and .* em-adapt"),
        (stage_of(a=replace(MASKS, joint=True)), "--stages.only.mixture.a.joint goes with the masks of COCO"),
        (stage_of(a=replace(MASKS, data="coco")), "pass its folder as --coco"),
        (stage_of(a=replace(MASKS, data="coco", split="other")), "21 labels, the network scores 6"),
        (stage_of(a=replace(BOXES, masks=None)), "--stages.only.mixture.a.masks is None"),
        (
            stage_of(a=replace(SCRIBBLES, masks=None)),
            "annotation is scribbles, and --stages.only.mixture.a.masks is None",
        ),
        (
            stage_of(a=replace(SCRIBBLES, joint=True, data="coco")),
            "--stages.only.mixture.a.joint goes with the masks of COCO",
        ),
    ],
)
def test_what_cannot_be_mixed_is_said(toy: Path, tmp_path: Path, stage: Stage, message: str) -> None:
    recipe = replace(RECIPE, stages={"only": stage})
    coco = write_coco(tmp_path, "other", [], (8, 8), (1,)) if "21 labels" in message else None
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_sets(recipe, VOCSegmentation(toy, "train"), toy, coco, None)


def test_boxes_are_not_taken_from_finer_maps(toy: Path, tmp_path: Path) -> None:
    data = ["--data", str(toy), "--out", str(tmp_path), "--list", "train"]
    assert make_targets([*data, "--boxes", "regions", "--kinds", "seg", "--seg.num-iterations", "1"]) == 0
    recipe = replace(RECIPE, stages={"only": stage_of(a=replace(BOXES, masks="seg"))})
    with pytest.raises(ValueError, match="maps of the kind 'seg'; boxes are to be those of `rect`"):
        open_sets(recipe, VOCSegmentation(toy, "train"), toy, None, tmp_path)


def test_scribbles_are_not_taken_from_masks(toy: Path, tmp_path: Path) -> None:
    assert (
        make_targets(
            ["--data", str(toy), "--out", str(tmp_path), "--list", "train", "--kinds", "rect", "--boxes", "regions"]
        )
        == 0
    )
    recipe = replace(RECIPE, stages={"only": stage_of(a=replace(SCRIBBLES, masks="rect"))})
    with pytest.raises(ValueError, match="maps of the kind 'rect'; scribbles are to be those of `scribbles`"):
        open_sets(recipe, VOCSegmentation(toy, "train"), toy, None, tmp_path)


def test_a_few_steps_on_scribbles_beside_masks(toy: Path, tmp_path: Path) -> None:
    """In two passes a step: the loss that is shown is the sum of all terms, and the CRF loss a mean over images."""
    assert make_targets(["--data", str(toy), "--out", str(tmp_path), "--list", "train", "--kinds", "scribbles"]) == 0
    scribbles = replace(SCRIBBLES, count=3, weight=0.5)
    stage = replace(NETWORK, steps=3, accumulate=2, loss_stride=2, mixture={"masks": MASKS, "scribbles": scribbles})
    argv = ["--data", str(toy), "--targets", str(tmp_path), "--dropout", "0"]
    for normalize in (True, False):
        out = tmp_path / f"run{normalize}"
        recipe = replace(RECIPE, stages={"network": replace(stage, validate_every=0, normalize_loss=normalize)})
        assert main([*argv, "--recipe", write_recipe(tmp_path / f"recipe{normalize}", recipe), "--out", str(out)]) == 0
        masks, cross, crf, total = (
            scalars(out, "network", tag)
            for tag in ("1 loss/of masks", "1 loss/of scribbles", "1 loss/CRF loss of scribbles", "1 loss/training")
        )
        assert total == pytest.approx([0.7 * a + 0.5 * b + 0.25 * c for a, b, c in zip(masks, cross, crf, strict=True)])
        assert all(0 < value < 1 for value in crf)


@pytest.mark.parametrize(("content", "message"), [("{", "cannot be read"), ("[]", "does not say of which kind")])
def test_maps_of_unknown_kind_are_not_taken_for_boxes(toy: Path, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "rect").mkdir()
    (tmp_path / "rect" / "parameters.json").write_text(content)
    recipe = replace(RECIPE, stages={"only": stage_of(a=BOXES)})
    with pytest.raises(ValueError, match=message):
        open_sets(recipe, VOCSegmentation(toy, "train"), toy, None, tmp_path)


def test_as_many_labels_with_other_names(toy: Path, tmp_path: Path) -> None:
    coco = write_coco(tmp_path / "coco", "other", [], (8, 8), (1,))
    data = tmp_path / "toy"
    shutil.copytree(toy, data)
    (data / "classes.txt").write_text("\n".join(f"label{i}" for i in range(21)))
    recipe = replace(RECIPE, stages={"only": stage_of(a=replace(MASKS, data="coco", split="other"))})
    with pytest.raises(ValueError, match=r"label 0 is 'label0' in .* and 'background' in the list other"):
        open_sets(recipe, VOCSegmentation(data, "train"), data, coco, None)


def test_boxes_alone_need_no_masks_to_train_on(toy: Path, tmp_path: Path) -> None:
    data, targets = tmp_path / "toy", tmp_path / "targets"
    shutil.copytree(toy, data)
    assert make_targets(["--data", str(data), "--out", str(targets), "--list", "train", "--boxes", "regions"]) == 0
    for name in VOCSegmentation(data, "train").names:
        (data / "SegmentationClass" / f"{name}.png").unlink()
    stage = replace(stage_of(boxes=BOXES, images=replace(IMAGES, masks="rect")), steps=1, validate_every=0)
    recipe = write_recipe(tmp_path / "recipe", replace(RECIPE, stages={"network": stage}))
    argv = ["--recipe", recipe, "--data", str(data), "--targets", str(targets), "--out", str(tmp_path / "run")]
    assert main(argv) == 0


def test_categories_of_coco_itself(tmp_path: Path) -> None:
    square = [[0, 0, 30, 0, 30, 30, 0, 30]]
    coco = write_coco(
        tmp_path / "coco", "train", [annotation(52, square), annotation(17, square, 10)], (40, 40), (9, 10)
    )
    stage = replace(NETWORK, steps=1, batch_size=1, mixture={}, validate_every=0)
    own = replace(RECIPE, coco_labels="coco", train_list="train", val_list="train", stages={"network": stage})
    argv = ["--recipe", write_recipe(tmp_path / "recipe", own), "--data", str(coco), "--out", str(tmp_path / "run")]
    assert main(argv) == 0
    checkpoint = tmp_path / "run" / "network.pt"
    _, classes = model_from_checkpoint(checkpoint)
    assert (len(classes), classes[47]) == (81, "banana")
    assert open_for(checkpoint, coco, "train", Folders())[0].labels[5, 5] == 47


def test_targets_that_are_not_there_are_named(toy: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, stages={"only": stage_of(a=BOXES)})
    with pytest.raises(FileNotFoundError, match=r"no folder .*rect"):
        open_sets(recipe, VOCSegmentation(toy, "train"), toy, None, tmp_path)


@pytest.mark.parametrize("name", RECIPES)
def test_mixtures_of_recipes_fill_their_batches(name: str) -> None:
    for stage in RECIPES[name].stages.values():
        found = sources(RECIPES[name], stage)
        assert sum(source.count for source in found.values()) == stage.batch_size


def test_the_published_mixtures() -> None:
    """The released networks: shares of the batch, weights of the losses, biases and quotas."""
    semi = RECIPES["semi_box"].stages["network"].mixture
    assert [(it.count, it.weight) for it in semi.values()] == [(15, 0.7), (15, 0.3)]
    assert (semi["boxes"].e_step.foreground_bias, semi["boxes"].e_step.background_bias) == (6.0, 5.0)
    image = RECIPES["weak_image"].stages["network"].mixture["images"].e_step
    assert (image.method, image.foreground_portion, image.background_portion, image.rounds) == ("em-adapt", 0.2, 0.4, 5)
    fixed = RECIPES["semi_image"].stages["network"].mixture["images"].e_step
    assert (fixed.method, fixed.foreground_bias, fixed.background_bias) == ("em-fixed", 5.0, 3.0)
