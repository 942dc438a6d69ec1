"""Dense CRFs in the workers of a Pool that was forked after the parent had computed with several threads."""

import subprocess
import sys

SCRIPT = """
import multiprocessing

import numpy as np
import torch

import crfrnn.densecrf as dcrf


def refine(seed):
    random = np.random.default_rng(seed)
    d = dcrf.DenseCRF2D(90, 80, 4)
    d.setUnaryEnergy(random.random((4, 90 * 80), np.float32))
    d.addPairwiseGaussian(sxy=3, compat=3)
    d.addPairwiseBilateral(sxy=40, srgb=13, rgbim=random.integers(0, 256, (80, 90, 3), np.uint8), compat=5)
    return np.asarray(d.inference(3))


torch.set_num_threads(2)
torch.ones(1 << 22).exp().sum()
alone = [refine(seed) for seed in range(4)]
with multiprocessing.get_context("fork").Pool(2) as pool:
    beside = pool.map(refine, range(4))
for one, other in zip(alone, beside):
    np.testing.assert_allclose(other, one, atol=1e-5)
"""


def test_workers_forked_after_parallel_work() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=120)
