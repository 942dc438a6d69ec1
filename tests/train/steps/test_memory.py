"""A frozen trunk computes once for every image, and the network runs as at test time where a stage asks for that."""

import pytest
import torch

from crfrnn.nets import SegmentationModel, build_model
from train.steps.loss import StageLoss
from train.steps.memory import Memory, remembering

IMAGE = 255 * torch.rand(2, 3, 40, 49, generator=torch.Generator().manual_seed(3))
LABELS = torch.randint(0, 5, (1, 40, 49), generator=torch.Generator().manual_seed(4))


def mobilenet(input_side: int | None = None) -> SegmentationModel:
    torch.manual_seed(0)
    return build_model("deeplabv3-mobilenetv2", 5, width=0.03, dropout=0.5, input_side=input_side)


def loss_of(loss: StageLoss, image: torch.Tensor) -> torch.Tensor:
    allowed, seed = torch.ones(1, 255, dtype=torch.bool), torch.zeros(1, dtype=torch.long)
    return loss(image, LABELS, allowed, allowed, seed, seed)


def test_what_was_seen_is_not_computed_again() -> None:
    seen = []

    def double(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return 2 * x

    a, b = torch.arange(6.0), torch.arange(1.0, 7.0)
    memory = Memory().of(double, [], room=24)  # one result
    for x, calls in ((a, 1), (b, 2), (a.clone(), 2), (b, 3), (a.view(2, 3), 4)):
        assert torch.equal(memory(x), 2 * x)
        assert len(seen) == calls


@pytest.mark.parametrize("frozen", ["features", ""])
def test_a_memory_changes_no_loss_and_no_gradient(frozen: str) -> None:
    results = []
    for room in (0.0, 1.0):
        model = mobilenet()
        for name, parameter in model.network.named_parameters():
            parameter.requires_grad_(not name.startswith(frozen))
        runs = []
        model.network.features[3].register_forward_hook(lambda *_, runs=runs: runs.append(1))
        network = remembering(model, Memory(), room) if room else None
        loss = StageLoss(model, 4, as_tested=True, network=network).train()
        sums = [loss_of(loss, IMAGE[i : i + 1]) for i in (0, 1, 0, 1)]
        if frozen:
            torch.stack(sums).sum().backward()
        results.append(
            (torch.stack(sums), len(runs), [each.grad for each in model.parameters() if each.grad is not None])
        )
    assert torch.equal(results[0][0], results[1][0])
    assert [runs for _, runs, _ in results] == [4, 2]
    assert all(torch.equal(one, other) for one, other in zip(results[0][2], results[1][2], strict=True))
    assert len(results[1][2]) == (8 if frozen else 0)


@pytest.mark.parametrize("learns", [True, False])
def test_a_network_trains_on_what_it_sees_at_test_time(learns: bool) -> None:
    model = mobilenet(input_side=60).requires_grad_(learns)
    loss = StageLoss(model, 1, as_tested=learns).train()  # a frozen network always runs so
    got = loss_of(loss, IMAGE[:1])
    wanted = torch.nn.functional.cross_entropy(model.eval()(IMAGE[:1]), LABELS, reduction="sum")
    torch.testing.assert_close(got[0], wanted)
    if learns:
        assert not torch.allclose(loss_of(StageLoss(model, 1).train(), IMAGE[:1])[0], wanted)


@pytest.mark.parametrize("input_side", [None, 60])
@pytest.mark.parametrize("stride", [4, 3])
def test_scores_at_test_time_are_interpolated_where_the_loss_looks(stride: int, input_side: int | None) -> None:
    """At strides that fit those of the scores, and at others."""
    model = mobilenet(input_side)
    got = loss_of(StageLoss(model, stride, as_tested=True).train(), IMAGE[:1])
    logits = model.eval()(IMAGE[:1])[:, :, ::stride, ::stride]
    wanted = torch.nn.functional.cross_entropy(logits, LABELS[:, ::stride, ::stride], reduction="sum")
    torch.testing.assert_close(got[0], wanted)


def test_a_trunk_that_learns_is_not_remembered() -> None:
    with pytest.raises(ValueError, match="the trunk of the network learns; wanted 0"):
        remembering(mobilenet(), Memory(), 1.0)
    vgg = build_model(num_labels=5, width=0.03)
    vgg.network.fc8.bias.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing can be remembered"):
        remembering(vgg, Memory(), 1.0)
    assert remembering(vgg.requires_grad_(False), Memory(), 1.0)(IMAGE).shape[1] == 5


def test_networks_of_other_weights_share_no_results() -> None:
    memory, first, second = (
        Memory(),
        *(build_model(num_labels=5, width=0.03).eval().requires_grad_(False) for _ in range(2)),
    )
    for model in (first, second, first):
        assert torch.equal(remembering(model, memory, 1.0)(IMAGE), model.network(IMAGE))
    assert len(memory.kept) == 2
    assert memory.size == 2 * 4 * first.network(IMAGE).numel()


def test_what_was_found_in_half_precision_is_not_the_answer_in_full() -> None:
    memory, model = Memory(), build_model(num_labels=5, width=0.03).eval().requires_grad_(False)
    remembered = remembering(model, memory, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert remembered(IMAGE).dtype == torch.bfloat16
    assert torch.equal(remembered(IMAGE), model.network(IMAGE))
