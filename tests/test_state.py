"""The free energy against enumeration of every labeling of a tiny graph."""

import itertools

import pytest
import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.state import free_energy
from tests.dense_meanfield import dense_features, dense_kernel, dense_normalized

LABELS, HEIGHT, WIDTH = 3, 2, 3
KERNELS = [smoothness_kernel(1.3, 0.7), appearance_kernel(2.0, 60.0, 0.9)]


def log_partition(unary: Tensor, pair: Tensor, mu: Tensor) -> Tensor:
    """log sum over all labelings of exp(-E), E = -sum_i U_i(x_i) + sum_{i<j} mu(x_i, x_j) pair_ij; unary [N, L]."""
    count = len(unary)
    energies = []
    for labeling in itertools.product(range(unary.shape[1]), repeat=count):
        energy = -sum(unary[i, label] for i, label in enumerate(labeling))
        for i, j in itertools.combinations(range(count), 2):
            energy = energy + mu[labeling[i], labeling[j]] * pair[i, j]
        energies.append(energy)
    return torch.logsumexp(-torch.stack(energies), 0)


@pytest.mark.parametrize("normalization", ["symmetric", "none"])
@pytest.mark.parametrize("compatibility", ["potts", "symmetric"])
def test_it_bounds_the_partition_function(normalization: str, compatibility: str) -> None:
    mu = 1 - torch.eye(LABELS)
    if compatibility == "symmetric":
        mu = torch.rand(LABELS, LABELS)
        mu = mu + mu.T
    crf = CRFRNN(LABELS, KERNELS, 12, normalization, compatibility=mu, exclude_self=True, filter="exact").double()
    unary = torch.randn(1, LABELS, HEIGHT, WIDTH, dtype=torch.float64)
    image = 255 * torch.rand(1, 3, HEIGHT, WIDTH, dtype=torch.float64)
    raw = [dense_kernel(dense_features(image[0], 1.3)), dense_kernel(dense_features(image[0], 2.0, 60.0))]
    pair = sum(kernel.weight * dense_normalized(k, normalization, True) for kernel, k in zip(KERNELS, raw, strict=True))
    bound = -log_partition(unary[0].flatten(1).T, pair, mu.double())
    energies = torch.cat([state.free_energy() for state in crf.iterate(unary, image)])
    assert (energies >= bound).all()
    assert energies[-1] < energies[0]


def test_it_is_minus_log_z_where_pixels_are_independent() -> None:
    unary = torch.randn(2, 5, LABELS, dtype=torch.float64)
    wanted = -torch.logsumexp(unary, -1).sum(-1)
    torch.testing.assert_close(free_energy(unary.softmax(-1), unary, torch.zeros_like(unary)), wanted)


def test_certain_beliefs_have_the_energy_of_their_labeling() -> None:
    """One pixel, label 1: unary energy -2, half of the penalty 3, no entropy and no NaN."""
    beliefs = torch.tensor([[[0.0, 1.0]]])
    got = free_energy(beliefs, torch.tensor([[[5.0, 2.0]]]), torch.tensor([[[7.0, 3.0]]]))
    torch.testing.assert_close(got, torch.tensor([-0.5]))
