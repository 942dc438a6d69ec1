"""What the first call of the compiled code brings into a process."""

import subprocess
import sys
from pathlib import Path

CALLS = """
import sys
import numpy as np
import torch
from crfrnn import CRFRNN, native
from crfrnn.densecrf import DenseCRF2D

unary, image = torch.randn(1, 3, 6, 7, requires_grad=True), 255 * torch.rand(1, 3, 6, 7)
with torch.no_grad():
    CRFRNN(3)(unary, image)
CRFRNN(3)(unary, image).sum().backward()
CRFRNN(3, learn_bandwidths=True, exclude_self=True)(unary, image).sum().backward()
with native.disabled():
    CRFRNN(3)(unary, image).sum().backward()

crf = DenseCRF2D(7, 6, 3)
crf.setUnaryEnergy(unary.detach().reshape(3, -1).numpy())
crf.addPairwiseGaussian(3, 3)
crf.addPairwiseBilateral(80, 13, image[0].permute(1, 2, 0).contiguous().numpy().astype(np.uint8), 10)
crf.inference(2)
print(*(name for name in sys.modules if name.startswith("torch._dynamo")))
"""


def test_no_call_imports_the_compiler_of_torch() -> None:
    """It takes seconds, and tens of megabytes."""
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", CALLS], check=True, cwd=root, capture_output=True, text=True)
    assert run.stdout.split() == []
