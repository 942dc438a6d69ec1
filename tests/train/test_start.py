"""What a stage begins with: nothing, ImageNet, another stage, another network."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from crfrnn import CRFRNN, smoothness_kernel
from crfrnn.data import TOY_CLASSES, VOCSegmentation
from crfrnn.nets import SegmentationModel, build_model, model_from_checkpoint, save_checkpoint
from train.distributed import Processes
from train.interrupt import Stop
from train.recipes import Recipe, Stage
from train.start import start_model
from train.state import Run


@pytest.fixture
def run(toy: Path, tmp_path: Path) -> Callable[..., Run]:
    def make(**stages: Stage) -> Run:
        dataset = VOCSegmentation(toy, "train")
        recipe = Recipe(stages=stages, width=0.02, network="fcn-32s")
        return Run(recipe, dataset, dataset, tmp_path, torch.device("cpu"), Processes(), Stop())

    return make


def stage(**changes: object) -> Stage:
    return Stage(steps=1, batch_size=1, lr=1.0, **changes)


def saved(
    path: Path, network: str, crf: CRFRNN | None = None, classes: Sequence[str] = TOY_CLASSES
) -> SegmentationModel:
    """A checkpoint of random weights, in the score layers too."""
    architecture = {"name": network, "num_labels": 6, "width": 0.02}
    model = build_model(**architecture, crf=crf)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    save_checkpoint(path, model, architecture=architecture, classes=list(classes))
    return model


def test_a_finer_network_begins_with_all_of_the_coarser_one(run: Callable, tmp_path: Path) -> None:
    coarse = saved(tmp_path / "first.pt", "fcn-32s").state_dict()
    chain = run(first=stage(), second=stage(network="fcn-16s"), third=stage(network="fcn-8s"))
    fine = start_model(chain, "second", None).state_dict()
    shared = [name for name in coarse if "upscore" not in name]
    assert all(torch.equal(fine[name], coarse[name]) for name in shared)
    assert not fine["network.score_pool4.weight"].any()
    assert set(fine) - set(shared) == {
        "network.score_pool4.weight", "network.score_pool4.bias", "network.upscore2.weight", "network.upscore2.bias",
        "network.upscore16.weight",
    }  # fmt: skip


def test_a_crf_is_kept_from_stage_to_stage_and_starts_anew_without_one(run: Callable, tmp_path: Path) -> None:
    chain = run(first=stage(), crf=stage(trains="crf"), joint=stage(trains="joint"), other=stage(start="first"))
    saved(tmp_path / "first.pt", "fcn-32s")
    fresh = start_model(chain, "crf", None)
    assert torch.equal(fresh.crf.cell.compatibility, 1 - torch.eye(6))
    assert [name for name, p in fresh.named_parameters() if p.requires_grad] == [
        "crf.cell.kernel_weights", "crf.cell.compatibility"
    ]  # fmt: skip
    trained = saved(tmp_path / "crf.pt", "fcn-32s", CRFRNN(6, kernel_weights="diagonal"))
    joint = start_model(chain, "joint", None)
    assert torch.equal(joint.crf.cell.compatibility, trained.crf.cell.compatibility)
    assert torch.equal(joint.network.fc7.weight, trained.network.fc7.weight)
    assert joint.network.fc7.weight.requires_grad
    other = start_model(chain, "other", None)
    assert other.crf is None
    assert not torch.equal(other.network.fc7.weight, trained.network.fc7.weight)


def test_a_checkpoint_takes_the_place_of_a_stage_that_was_not_run(run: Callable, tmp_path: Path) -> None:
    chain = run(first=stage(), second=stage(trains="joint"))
    with pytest.raises(FileNotFoundError, match=r"begins where 'first' ends.*as --init"):
        start_model(chain, "second", None)
    elsewhere = saved(tmp_path / "elsewhere.pt", "fcn-32s")
    model = start_model(chain, "second", str(tmp_path / "elsewhere.pt"))
    assert torch.equal(model.network.fc6.weight, elsewhere.network.fc6.weight)
    saved(tmp_path / "wrong.pt", "deeplab")
    with pytest.raises(ValueError, match="not a stage before"):
        start_model(chain, "second", str(tmp_path / "wrong.pt"))


def test_as_many_labels_of_another_kind_start_anew(
    run: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = run(first=stage(), second=stage(trains="joint"))
    theirs = CRFRNN(6, [smoothness_kernel(theta_gamma=7, weight=1)])
    other = saved(tmp_path / "other.pt", "fcn-32s", theirs, classes="abcdef")
    model = start_model(chain, "second", str(tmp_path / "other.pt"))
    assert torch.equal(model.network.fc7.weight, other.network.fc7.weight)
    assert not torch.equal(model.network.score_fr.weight, other.network.score_fr.weight)
    assert torch.equal(model.crf.cell.compatibility, 1 - torch.eye(6))
    assert "was trained on other labels (a, b, c, ...)" in capsys.readouterr().out


def test_labels_are_kept_where_scores_behind_them_come_or_go(run: Callable, tmp_path: Path) -> None:
    """From Cross-Joint with COCO's other categories to the labels alone, and back."""
    architecture = {"name": "fcn-32s", "num_labels": 6, "width": 0.02, "extra_labels": 3}
    joint = build_model(**architecture)
    for parameter in joint.parameters():
        torch.nn.init.normal_(parameter)
    save_checkpoint(tmp_path / "first.pt", joint, architecture=architecture, classes=list(TOY_CLASSES))
    chain = run(first=stage(), second=stage())
    plain = start_model(chain, "second", None)
    assert torch.equal(plain.network.score_fr.weight, joint.network.score_fr.weight[:6])
    assert torch.equal(plain.network.score_fr.bias, joint.network.score_fr.bias[:6])
    saved(tmp_path / "first.pt", "fcn-32s")
    chain = replace(chain, recipe=replace(chain.recipe, extra_labels=3))
    more = start_model(chain, "second", None)
    kept = model_from_checkpoint(tmp_path / "first.pt")[0].network.score_fr.weight
    assert more.network.score_fr.weight.shape[0] == 9
    assert torch.equal(more.network.score_fr.weight[:6], kept)


def test_a_stage_may_have_a_dropout_of_its_own(run: Callable, tmp_path: Path) -> None:
    saved(tmp_path / "first.pt", "fcn-32s")
    chain = run(first=stage(), second=stage(dropout=0.25))
    for name, wanted in (("first", 0.5), ("second", 0.25)):
        assert start_model(chain, name, str(tmp_path / "first.pt")).network.dropout == wanted


def test_layers_that_a_stage_resets_begin_as_without_a_checkpoint(run: Callable, tmp_path: Path) -> None:
    theirs = saved(tmp_path / "theirs.pt", "fcn-32s").network.state_dict()
    chain = run(first=stage(freeze=("conv",), reset=("fc7", "score")))
    new = start_model(chain, "first", None).network.state_dict()
    other_seed = replace(chain, recipe=replace(chain.recipe, seed=1))
    model, other = (start_model(each, "first", str(tmp_path / "theirs.pt")).network for each in (chain, other_seed))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, (new if name.startswith(("fc7", "score")) else theirs)[name]), name
    assert not torch.equal(model.fc7.weight, other.fc7.weight)
    assert model.fc7.weight.requires_grad
    with pytest.raises(ValueError, match=r"--stages.first.reset has 'head', but no layer's name begins so"):
        start_model(run(first=stage(reset=("head",))), "first", None)
