from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN
from crfrnn.data import Sample, VOCSegmentation
from crfrnn.kernels import AnyKernels
from crfrnn.meanfield import MeanFieldCell
from crfrnn.presets import FixedCRF
from eval.scoring.evaluate import evaluate
from eval.scoring.methods import Method, network_alone, with_crf
from eval.scoring.metrics import Confusion, Scores


def scores_by_hand(dataset: VOCSegmentation, label: Callable[[Tensor], Tensor]) -> Scores:
    """Scores where image [1, 3, H, W] -> logits [1, L, H, W] is run over the set by the most obvious loop."""
    confusion = Confusion(dataset.classes)
    with torch.no_grad():
        for i in range(len(dataset)):
            logits = label(dataset[i].image[None].float())
            confusion.update(logits[0].argmax(0), dataset[i].labels)
    return confusion.scores()


def same(a: Scores, b: Scores) -> bool:
    return repr(a) == repr(b)  # equality is of no use where NaN may stand


def test_every_row_is_what_its_model_gives(voc: Path, make_model: Callable, gentle_crf: CRFRNN) -> None:
    dataset = VOCSegmentation(voc, "val")
    model = make_model(gentle_crf)
    fixed = FixedCRF(theta_alpha=5, theta_beta=50, num_iterations=3).build(3)
    methods = [network_alone(), with_crf(fixed, {3: "fixed"}), with_crf(gentle_crf, {4: "T=4", 0: "T=0", 1: "T=1"})]
    scores = evaluate(model, dataset, methods)
    assert list(scores) == ["network", "fixed", "T=0", "T=1", "T=4"]
    assert same(scores["network"], scores_by_hand(dataset, model.unary))
    assert same(scores["fixed"], scores_by_hand(dataset, lambda image: fixed(model.unary(image), image)))
    for t in (0, 1, 4):
        assert same(scores[f"T={t}"], scores_by_hand(dataset, partial(model, num_iterations=t)))
    assert len({repr(row) for row in scores.values()}) == 4  # T=0 is the network; the others all differ


def test_another_function_may_take_the_place_of_the_network(voc: Path, make_model: Callable) -> None:
    dataset, model = VOCSegmentation(voc, "val"), make_model(None)
    scores = evaluate(model, dataset, [network_alone()], network=lambda image: -model.network(image))
    assert same(scores["network"], scores_by_hand(dataset, lambda image: -model.unary(image)))


def test_fixed_crf_is_made_as_asked() -> None:
    fixed = FixedCRF(
        appearance_weight=4, theta_alpha=49, theta_beta=5, smoothness_weight=2, theta_gamma=1, normalization="symmetric"
    )
    crf = fixed.build(21)
    settings = crf.settings()
    kernels = {(kernel["weight"], kernel["theta_position"], kernel["theta_guide"]) for kernel in settings["kernels"]}
    assert kernels == {(4, 49, 5), (2, 1, None)}
    assert (settings["normalization"], settings["kernel_weights"]) == ("symmetric", "scalar")
    assert crf.cell.compatibility.equal(1 - torch.eye(21))
    assert not any(parameter.requires_grad for parameter in crf.parameters())


def test_methods_see_raw_images_one_at_a_time_without_gradients(voc: Path, make_model: Callable) -> None:
    dataset = VOCSegmentation(voc, "val")
    seen = []

    def logits(unary: Tensor, image: Tensor) -> list[Tensor]:
        seen.append((image, unary))
        return [unary]

    evaluate(make_model(), dataset, [Method(("row",), logits)], indices=[2, 0])
    for (image, unary), i in zip(seen, [2, 0], strict=True):
        assert image.equal(dataset[i].image[None].float())
        assert unary.dtype == torch.float32
        assert unary.shape[2:] == image.shape[2:]
        assert not unary.requires_grad


def test_observer_gets_the_labels_of_every_row(voc: Path, make_model: Callable, gentle_crf: CRFRNN) -> None:
    dataset, model = VOCSegmentation(voc, "val"), make_model(gentle_crf)
    seen: dict[str, dict[str, Tensor]] = {}

    def observer(sample: Sample, unary: Tensor, labels: dict[str, Tensor]) -> None:
        seen[sample.name] = {**labels, "of the unary": unary[0].argmax(0).to(torch.uint8)}

    evaluate(model, dataset, [network_alone("a"), with_crf(gentle_crf, {2: "b"})], observer=observer)
    assert list(seen) == list("abcd")
    with torch.no_grad():
        wanted = model(dataset[1].image[None].float(), num_iterations=2)[0].argmax(0)
    assert seen["b"]["b"].dtype == torch.uint8
    assert seen["b"]["b"].equal(wanted.to(torch.uint8))
    assert seen["b"]["of the unary"].equal(seen["b"]["a"])


def test_model_is_evaluated_without_dropout_and_given_back_in_its_mode(voc: Path, make_model: Callable) -> None:
    dataset, model = VOCSegmentation(voc, "val"), make_model()
    wanted = scores_by_hand(dataset, model.unary)
    model.train()
    assert same(evaluate(model, dataset, [network_alone()])["network"], wanted)
    assert model.training

    def fail(sample: Sample, unary: Tensor, labels: dict[str, Tensor]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(model, dataset, [network_alone()], observer=fail)
    assert model.training


def test_training_goes_on_after_an_evaluation(voc: Path, make_model: Callable, gentle_crf: CRFRNN) -> None:
    dataset, model = VOCSegmentation(voc, "val"), make_model(gentle_crf)
    evaluate(model, dataset, [with_crf(gentle_crf, {1: "T=1"})], indices=[0])
    model(dataset[0].image[None].float()).square().mean().backward()
    assert gentle_crf.cell.kernel_weights.grad is not None


def test_many_numbers_of_iterations_come_from_one_run(
    voc: Path, make_model: Callable, gentle_crf: CRFRNN, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, model = VOCSegmentation(voc, "val"), make_model(gentle_crf)
    calls, penalty = [], MeanFieldCell.penalty

    def counted(cell: MeanFieldCell, beliefs: Tensor, kernels: AnyKernels) -> Tensor:
        calls.append(1)
        return penalty(cell, beliefs, kernels)

    monkeypatch.setattr(MeanFieldCell, "penalty", counted)
    evaluate(model, dataset, [with_crf(gentle_crf, {t: f"T={t}" for t in (4, 0, 3, 2)})], indices=[0])
    assert len(calls) == 4


@pytest.mark.parametrize("iterations", [(2,), (0, 2), (2, 3, 4)])
def test_every_number_of_iterations_has_its_own_logits(gentle_crf: CRFRNN, iterations: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    unary = torch.randn(1, gentle_crf.num_labels, 9, 11, generator=generator)
    image = 255 * torch.rand(1, 3, 9, 11, generator=generator)
    method = with_crf(gentle_crf, {t: f"T={t}" for t in iterations})
    states = {state.iteration: state.logits for state in gentle_crf.iterate(unary, image, max(iterations))}
    assert method.rows == tuple(f"T={t}" for t in iterations)
    for t, logits in zip(iterations, method.logits(unary, image), strict=True):
        torch.testing.assert_close(logits, states[t], rtol=1e-5, atol=1e-5)


def test_what_cannot_be_evaluated(voc: Path, make_model: Callable, gentle_crf: CRFRNN) -> None:
    dataset, model = VOCSegmentation(voc, "val"), make_model()
    with pytest.raises(ValueError, match="different names"):
        evaluate(model, dataset, [network_alone("x"), network_alone("x")])
    with pytest.raises(ValueError, match="at least one"):
        evaluate(model, dataset, [])
    with pytest.raises(ValueError, match="model has 4 labels, the data set 3"):
        evaluate(make_model(num_labels=4), dataset, [network_alone()])
    with pytest.raises(ValueError, match="nothing to score"):
        evaluate(model, dataset, [network_alone()], indices=[])
    for rows in ({}, {-1: "x", 5: "y"}):
        with pytest.raises(ValueError, match="each 0 or above"):
            with_crf(gentle_crf, rows)
    with torch.no_grad():
        model.network.fc8.bias[1] = torch.nan
    with pytest.raises(ValueError, match="scores of a are not all finite"):
        evaluate(model, dataset, [network_alone()])
