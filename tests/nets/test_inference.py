"""Images of any size: tiles leave no seams, and a canvas is the padding of the test protocol."""

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, smoothness_kernel
from crfrnn.nets import NETWORKS, SegmentationModel, build_model, infer
from crfrnn.nets.inference import tiled_scores


def model(name: str, crf: CRFRNN | None = None, **arguments: float) -> SegmentationModel:
    built = build_model(name, 3, crf, width=0.01, **arguments)
    for layer in built.network.label_layers:
        if not layer.startswith("upscore"):
            torch.nn.init.normal_(built.network.get_submodule(layer).weight)
    return built.eval()


def photo(height: int, width: int) -> Tensor:
    return 255 * torch.rand(1, 3, height, width)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_tiles_leave_no_seam(name: str) -> None:
    built, image = model(name), photo(40, 800)
    whole = built.unary(image)
    assert whole.std() > 0.01
    torch.testing.assert_close(infer(built, image, tile=100), whole, rtol=0, atol=1e-4 * float(whole.std()))


@torch.no_grad()
def test_tiles_in_both_directions_and_with_all_that_shifts_scores() -> None:
    built, image = model("deeplab-largefov", input_scale=0.5), photo(1201, 1100)
    calls = []
    built.network.register_forward_hook(lambda *_: calls.append(1))
    tiled = infer(built, image, tile=160)
    assert len(calls) == 9
    torch.testing.assert_close(tiled, built.unary(image), rtol=0, atol=1e-4)


@torch.no_grad()
def test_tiles_need_their_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail: with half the field of view as margin, a seam shows."""
    built, image = model("deeplab-largefov"), photo(90, 1000)
    monkeypatch.setattr("crfrnn.nets.inference.receptive_field", lambda *_, **__: 200)
    scores = built.network_input(image)
    assert (tiled_scores(built.network, scores, 96) - built.network(scores)).abs().max() > 1e-3


@torch.no_grad()
def test_a_canvas_is_padding_with_the_mean_color() -> None:
    built, image = model("deeplab-largefov"), photo(40, 30)
    padded = built.network.mean.expand(1, 3, 97, 97).clone()
    padded[:, :, :40, :30] = image
    torch.testing.assert_close(infer(built, image, canvas=97), built(padded)[:, :, :40, :30])
    wide = photo(20, 200)  # sides that are longer stay as they are
    assert infer(built, wide, canvas=97).shape == (1, 3, 20, 200)


@torch.no_grad()
def test_the_crf_sees_the_image_as_it_is() -> None:
    crf = CRFRNN(3, [smoothness_kernel()])
    built, image = model("deeplab-largefov", crf), photo(33, 300)
    wanted = crf(built.unary(image), image, num_iterations=2)
    torch.testing.assert_close(infer(built, image, 2, tile=80), wanted, rtol=0, atol=1e-4)


def test_the_mode_comes_back_and_bad_sizes_are_refused() -> None:
    built = model("fcn-8s").train()
    infer(built, photo(9, 9))
    assert built.training
    with pytest.raises(ValueError, match="at least 32"):
        infer(built, photo(9, 9), tile=31)
    with pytest.raises(ValueError, match="canvas is -5"):
        infer(built, photo(9, 9), canvas=-5)
