"""Points that lie on no grid: their coordinates are features."""

import pytest
import torch

from crfrnn import CRFRNN, feature_kernel, native
from tests.dense_meanfield import dense_kernel, dense_normalized
from tests.space.problems import LABELS, dense_logits

POSITION, COLOR = 0.5, 20.0


def points(count: int = 40, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    places, colors = 3 * torch.rand(batch, 3, count).double(), 255 * torch.rand(batch, 3, count).double()
    return 2 * torch.randn(batch, LABELS, count).double(), torch.cat([places, colors], 1)


def kernels() -> list:
    return [feature_kernel("points", (POSITION,) * 3 + (COLOR,) * 3, 1.5), feature_kernel("places", 0.3, 0.5)]


def test_exact_layer_equals_dense_mean_field() -> None:
    unary, features = points()
    crf = CRFRNN(LABELS, kernels(), 3, filter="exact").double()
    given = {"points": features, "places": features[:, :3]}
    thetas = torch.tensor([POSITION] * 3 + [COLOR] * 3).double()
    logits = crf(unary, features=given)
    for i in range(2):
        both = [features[i].T / thetas, features[i, :3].T / 0.3]
        dense = [dense_normalized(dense_kernel(each), "after", False) for each in both]
        wanted = dense_logits(unary[i], dense, [1.5, 0.5], 3)
        torch.testing.assert_close(logits[i], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("filter", ["exact", "lattice"])
def test_the_order_of_points_means_nothing(filter: str) -> None:
    unary, features = points()
    crf = CRFRNN(LABELS, kernels(), 3, filter=filter).double()
    order = torch.randperm(40)
    logits = crf(unary, features={"points": features, "places": features[:, :3]})
    shuffled = crf(unary[..., order], features={"points": features[..., order], "places": features[:, :3, order]})
    torch.testing.assert_close(shuffled, logits[..., order], rtol=0, atol=1e-9)


def test_compiled_and_plain_answers_agree() -> None:
    unary, features = points(300)
    crf = CRFRNN(LABELS, kernels()[:1], 3).double()
    logits = crf(unary, features={"points": features})
    with native.disabled():
        torch.testing.assert_close(crf(unary, features={"points": features}), logits, rtol=0, atol=1e-9)
