"""The checks that stand before every timing."""

import pytest
import torch

from eval.bench.peers import clipped, gate, gradient_gate


def beliefs(wrong: int) -> torch.Tensor:
    """Beliefs [1, 2, 20, 100] that are 0.9 for label 0, but for the first `wrong` pixels of 2,000."""
    found = torch.tensor([0.9, 0.1])[None, :, None, None].repeat(1, 1, 20, 100)
    flat = found.view(2, -1)
    flat[:, :wrong] = flat[:, :wrong].flip(0)
    return found


def test_gate_measures() -> None:
    figures = gate(beliefs(0), beliefs(2))
    assert figures["equal labels"] == pytest.approx(0.999)
    assert figures["mean difference of beliefs"] == pytest.approx(0.8 * 2 / 2000)
    assert figures["largest difference of beliefs"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    "other",
    [beliefs(3), beliefs(0) + torch.tensor([0.002, -0.002])[None, :, None, None], beliefs(0) * float("nan")],
    ids=["labels", "beliefs", "nan"],
)
def test_gate_raises(other: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="A and B disagree"):
        gate(beliefs(0), other, "A and B")


def test_gate_for_labels() -> None:
    assert gate(beliefs(0), beliefs(1).argmax(1)) == {"equal labels": pytest.approx(0.9995)}
    with pytest.raises(ValueError, match="disagree"):
        gate(beliefs(0), beliefs(3).argmax(1))


def test_gradient_gate() -> None:
    gradient = torch.tensor([3.0, 4.0])
    near, far = gradient + torch.tensor([0.0, 0.004]), gradient + torch.tensor([0.006, 0.0])
    assert gradient_gate([gradient, near], [gradient, gradient]) == {
        "relative difference of gradients": pytest.approx(8e-4, rel=1e-3)
    }
    with pytest.raises(ValueError, match="gradients differ"):
        gradient_gate([gradient, far], [gradient, gradient])


def test_clipped() -> None:
    logits = torch.tensor([0.999, 0.001]).log()[None, :, None, None]
    assert clipped(logits).exp().flatten().tolist() == pytest.approx([0.99, 0.01])
