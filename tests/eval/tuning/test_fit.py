from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import eval.tuning.fit
from crfrnn import CRFRNN
from crfrnn.presets import FixedCRF
from eval.tuning.fit import SAVE_EVERY, Learning, batch, fit, pixel_loss
from eval.tuning.scored_images import ScoredImage
from eval.tuning.variants import Variant

LEARNING = Learning(steps=6, batch_size=2, kernel_weight_lr=0.3, compatibility_lr=0.1, bandwidth_lr=0.1)
START = Variant(start=FixedCRF(0.5, 6, 50, 0.5, 2, num_iterations=2))


@pytest.fixture
def images() -> list[ScoredImage]:
    """Blocks of color that are their labels, under noise: what a stronger CRF gets right."""
    truth = torch.zeros(12, 16, dtype=torch.uint8)
    truth[:, 6:] = 1
    truth[7:, 10:] = 2
    truth[:2, :2] = 255
    colors = torch.tensor([[10.0, 20, 30], [200, 90, 10], [60, 220, 180]])
    image = colors[truth.clamp(max=2).long()].permute(2, 0, 1)[None]
    scores = torch.nn.functional.one_hot(truth.clamp(max=2).long(), 3).permute(2, 0, 1)[None].float()
    return [ScoredImage(scores + 1.5 * torch.randn(scores.shape), image, truth, name) for name in "xyz"]


def loss(crf: CRFRNN, images: list[ScoredImage]) -> float:
    with torch.no_grad():
        return sum(float(pixel_loss(crf(p.unary, p.image), p.truth)) for p in images)


@pytest.mark.parametrize("bandwidths", ["fixed", "learned"])
@pytest.mark.parametrize("kernel_weights", ["scalar", "diagonal", "matrix"])
@pytest.mark.parametrize("compatibility", ["potts", "symmetric", "free"])
def test_every_form_learns(
    images: list[ScoredImage], tmp_path: Path, bandwidths: str, kernel_weights: str, compatibility: str
) -> None:
    settings = {"bandwidths": bandwidths, "kernel_weights": kernel_weights, "compatibility": compatibility}
    variant = replace(START, **settings)  # type: ignore[arg-type]
    begin = variant.build(3)
    crf, losses = fit(variant, images, 3, LEARNING, seed=0, last=tmp_path / "last", quiet=True)
    assert len(losses) == 6
    assert loss(crf, images) < 0.9 * loss(begin, images)
    mu = crf.cell.compatibility
    assert torch.equal(mu, begin.cell.compatibility) == (compatibility == "potts")
    assert torch.equal(mu, mu.T) == (compatibility != "free")
    moved = [not torch.equal(*pair) for pair in zip(crf.bandwidths, begin.bandwidths, strict=True)]
    assert moved == [bandwidths == "learned"] * 2
    assert not any(parameter.requires_grad for parameter in crf.parameters())


def test_the_blur_alone_lowers_the_loss(images: list[ScoredImage], tmp_path: Path) -> None:
    variant = replace(START, blur="learned")
    learning = replace(LEARNING, kernel_weight_lr=0, blur_lr=0.3)
    crf, _ = fit(variant, images, 3, learning, seed=0, last=tmp_path / "last", quiet=True)
    begin = variant.build(3)
    assert loss(crf, images) < loss(begin, images) - 0.005
    assert torch.equal(crf.cell.kernel_weights, begin.cell.kernel_weights)


def test_the_loss_is_the_cross_entropy_of_labeled_pixels(images: list[ScoredImage]) -> None:
    logits, truth = images[0].unary, images[0].truth
    picked = [
        -float(logits[0, :, y, x].log_softmax(0)[int(truth[y, x])])
        for y in range(12) for x in range(16) if truth[y, x] != 255
    ]  # fmt: skip
    assert float(pixel_loss(logits, truth)) == pytest.approx(sum(picked) / (12 * 16 - 4))
    assert float(pixel_loss(logits, torch.full_like(truth, 255))) == 0


def test_a_stopped_fit_goes_on(images: list[ScoredImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(last: Path) -> tuple[list[Tensor], list[float]]:
        crf, losses = fit(START, images, 3, LEARNING, seed=3, last=last, quiet=True)
        return list(crf.state_dict().values()), losses

    monkeypatch.setattr(eval.tuning.fit, "SAVE_EVERY", 2)
    wanted, losses = run(tmp_path / "whole")
    step: Callable = eval.tuning.fit._step
    done = 0

    def stopped(*args: object) -> float:
        nonlocal done
        done += 1
        if done == 4:
            raise KeyboardInterrupt
        return step(*args)

    monkeypatch.setattr(eval.tuning.fit, "_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "last")
    done = 100
    found, after = run(tmp_path / "last")
    assert after == losses
    assert done == 104  # of six steps two were kept
    assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))
    with pytest.raises(ValueError, match="other settings"):
        fit(START, images, 3, LEARNING, seed=4, last=tmp_path / "last", quiet=True)


@pytest.mark.parametrize("name", ["variant", "crf", "optimizer", "losses"])
def test_the_state_of_a_fit_that_lacks_something(images: list[ScoredImage], tmp_path: Path, name: str) -> None:
    last = tmp_path / "last"
    fit(START, images, 3, replace(LEARNING, steps=SAVE_EVERY), seed=3, last=last, quiet=True)
    whole = torch.load(last, weights_only=True)
    for other in ({key: value for key, value in whole.items() if key != name}, whole | {name: [{}]}, [1, 2]):
        torch.save(other, last)
        with pytest.raises(ValueError, match=r"last is (damaged, or no state of a fit|from a fit with other settings)"):
            fit(START, images, 3, replace(LEARNING, steps=SAVE_EVERY), seed=3, last=last, quiet=True)


def test_every_image_once_in_an_epoch() -> None:
    order = [number for step in range(6) for number in batch(4, step, 2, seed=0)]
    assert sorted(order[:4]) == sorted(order[4:8]) == sorted(order[8:]) == [0, 1, 2, 3]
    assert order != [number for step in range(6) for number in batch(4, step, 2, seed=1)]


def test_bad_settings_and_rates(images: list[ScoredImage], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 or more images"):
        fit(START, images, 3, Learning(batch_size=0), seed=0, last=tmp_path / "last")
    with pytest.raises(FloatingPointError, match="lower the rates"):
        fit(START, images, 3, replace(LEARNING, kernel_weight_lr=1e37), seed=0, last=tmp_path / "last", quiet=True)
