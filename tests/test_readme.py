"""The code in the README runs as printed."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    variables: dict = {}
    exec(blocks[0], variables)
    assert variables["logits"].shape == (2, 4, 60, 80)
    assert variables["masks"].shape == (2, 60, 80)
    assert variables["crf"].cell.compatibility.grad is not None
    assert capsys.readouterr().out.count("\n") == 11
