"""Loading by name: everything or nothing, and another number of labels keeps the trunk."""

import pytest
import torch

from crfrnn import CRFRNN
from crfrnn.nets import NETWORKS, build_model, load_tensors

NARROW = 0.01


@pytest.mark.parametrize("name", NETWORKS)
def test_another_number_of_labels_keeps_the_trunk(name: str) -> None:
    theirs = build_model(name, 8, width=NARROW).network
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    # 8 is also the number of channels everywhere: labels and channels must not be taken for one another.
    ours = build_model(name, 5, width=NARROW).network
    reinitialized = load_tensors(ours, theirs.state_dict())
    assert reinitialized == [n for n in ours.state_dict() if n.split(".")[0] in ours.label_layers]
    fresh = build_model(name, 5, width=NARROW).network.state_dict()
    for key, tensor in ours.state_dict().items():
        if key not in reinitialized:
            assert torch.equal(tensor, theirs.state_dict()[key])
        else:
            assert tensor.shape == fresh[key].shape
            assert tensor.abs().max() <= 1  # none of what was there before


def test_a_trained_score_layer_does_not_survive() -> None:
    ours = build_model("deeplab-largefov", 5, width=NARROW).network
    torch.nn.init.constant_(ours.fc8.weight, 7.0)
    load_tensors(ours, build_model("deeplab-largefov", 3, width=NARROW).network.state_dict())
    assert ours.fc8.weight.abs().max() < 1


@pytest.mark.parametrize("form", ["scalar", "diagonal", "matrix"])
def test_the_pair_term_of_other_labels_stays_as_built(form: str) -> None:
    theirs = build_model("deeplab-largefov", 4, CRFRNN(4, kernel_weights=form), width=NARROW)
    ours = build_model("deeplab-largefov", 3, CRFRNN(3, kernel_weights=form), width=NARROW)
    names = load_tensors(ours, theirs.state_dict())
    assert {"crf.cell.compatibility", "crf.cell.kernel_weights", "network.fc8.weight"} <= set(names)
    torch.testing.assert_close(ours.crf.cell.compatibility.detach(), 1 - torch.eye(3))


def test_all_of_it_or_nothing() -> None:
    ours = build_model("deeplab-largefov", 3, width=NARROW).network
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    full = build_model("deeplab-largefov", 3, width=NARROW).network.state_dict()
    part = {name: tensor for name, tensor in full.items() if not name.startswith("fc7")}
    with pytest.raises(ValueError, match=r"missing fc7\.weight, fc7\.bias; left over nothing"):
        load_tensors(ours, part)
    with pytest.raises(ValueError, match=r"missing nothing; left over loss"):
        load_tensors(ours, {**full, "loss": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"conv2_1\.weight has shape \[4"):
        load_tensors(ours, {**full, "conv2_1.weight": torch.zeros(4, 8, 3, 3)})
    with pytest.raises(ValueError, match=r"fc8\.weight has shape"):
        load_tensors(ours, {**full, "fc8.weight": torch.zeros(4, 9, 1, 1)})
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())
    extra = {**part, "loss.a": torch.zeros(1)}
    assert load_tensors(ours, extra, accept_missing=["fc7"], accept_left_over=["loss"]) == []
    assert torch.equal(ours.fc6.weight, full["fc6.weight"])
    assert torch.equal(ours.fc7.weight, before["fc7.weight"])


def test_names_are_those_of_caffe() -> None:
    """What checkpoints of every version of this package, and the converters, rely on."""
    convolutions = [f"conv{block}_{i}" for block, count in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, count + 1)]
    named = [f"{name}.{kind}" for name in [*convolutions, "fc6", "fc7", "fc8"] for kind in ("weight", "bias")]
    with torch.device("meta"):
        models = {name: build_model(name).network.state_dict() for name in ("deeplab-largefov", "fcn-8s")}
    assert list(models["deeplab-largefov"]) == named
    assert [name for name in models["fcn-8s"] if not name.startswith(("conv", "fc"))] == [
        *(f"{name}.{kind}" for name in ("score_fr", "score_pool4", "score_pool3") for kind in ("weight", "bias")),
        "upscore2.weight",
        "upscore2.bias",
        "upscore_pool4.weight",
        "upscore8.weight",
    ]
