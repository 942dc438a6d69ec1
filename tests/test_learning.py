"""Learning: planted parameters are found again from beliefs that a layer with them has produced."""

import torch

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel

LABELS = 3


def patchy(batch: int, channels: int, size: int, cells: int) -> torch.Tensor:
    """Smooth random maps [batch, channels, size, size] of deviation about 1."""
    coarse = torch.randn(batch, channels, cells, cells, dtype=torch.float64)
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=True)


def test_planted_weights_compatibility_and_bandwidths_are_found_again() -> None:
    torch.manual_seed(0)
    unary = 1.5 * torch.randn(6, LABELS, 10, 10, dtype=torch.float64)
    image = 128 + 40 * patchy(6, 3, 10, 4)
    penalties = torch.tensor([[0.0, 1.5, 0.6], [0.8, 0.0, 1.0], [1.0, 0.5, 0.0]])
    planted_kernels = [smoothness_kernel(1.2, 1.0), appearance_kernel(4.0, 25.0, 1.6)]
    planted = CRFRNN(LABELS, planted_kernels, 3, compatibility=penalties, exclude_self=True, filter="exact").double()
    target = planted(unary, image).detach()
    start = [smoothness_kernel(2.0, 0.5), appearance_kernel(7.0, 45.0, 0.5)]
    crf = CRFRNN(LABELS, start, 3, learn_bandwidths=True, exclude_self=True, filter="exact").double()
    optimizer = torch.optim.LBFGS(crf.parameters(), max_iter=400, line_search_fn="strong_wolfe", tolerance_change=1e-14)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (crf(unary, image).log_softmax(1) - target.log_softmax(1)).square().mean()
        loss.backward()
        return loss

    before = float(closure().detach())
    optimizer.step(closure)
    assert float(closure().detach()) < 1e-6 * before
    for got, wanted in zip(crf.bandwidths, planted.bandwidths, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0.01, atol=0)
    # A scale may move between weights and compatibility, and a constant added to a column of the penalties changes no
    # belief: compare what is left, the products of weights and differences of penalties.
    differences = [c.cell.compatibility - c.cell.compatibility[:1] for c in (crf, planted)]
    products = [c.cell.kernel_weights[:, None, None] * d for c, d in zip((crf, planted), differences, strict=True)]
    torch.testing.assert_close(products[0], products[1], rtol=0.01, atol=0.005)
