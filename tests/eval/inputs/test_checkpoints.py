"""What a checkpoint says of parts, where it says nonsense."""

from pathlib import Path
from typing import Any

import pytest
import torch

from crfrnn.nets import load_checkpoint
from eval.inputs.checkpoints import parts_of


@pytest.mark.parametrize("parts", [None, 3, {"unknown": 1}, {"side": -2}, {"margin": "x"}])
def test_parts_that_make_no_sense(parts: Any, make_checkpoint: Any, tmp_path: Path) -> None:
    path = make_checkpoint()
    assert parts_of(path) is None
    torch.save({**load_checkpoint(path), "training": {"parts": parts}}, path)
    with pytest.raises(ValueError, match=r"model\.pt is a damaged checkpoint: its parts are not usable"):
        parts_of(path)
