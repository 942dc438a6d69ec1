"""The code in the README runs as printed.

Each block of Python runs by itself. One that would download weights is marked "```python no-run"; its syntax and what
it imports of this package are checked alone.
"""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

BLOCKS = re.findall(
    r"^```python(.*?)\n(.*?)^```",
    (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)


def the_layer(variables: dict, output: str) -> None:
    assert variables["logits"].shape == (2, 4, 60, 80)
    assert variables["masks"].shape == (2, 60, 80)
    assert variables["crf"].cell.compatibility.grad is not None
    assert output.count("\n") == 11


def pydensecrf(variables: dict, output: str) -> None:
    assert variables["labels"].shape == (60, 80)


def parameters(variables: dict, output: str) -> None:
    assert variables["crf"].num_labels == 21


# What the blocks that run have to leave behind, in the order of the README.
EXPECTED: list[Callable[[dict, str], None]] = [the_layer, pydensecrf, parameters]


def test_blocks_run(capsys: pytest.CaptureFixture[str]) -> None:
    marks = {mark for mark, _ in BLOCKS}
    assert marks <= {"", " no-run"}
    runnable = [code for mark, code in BLOCKS if not mark]
    for code, check in zip(runnable, EXPECTED, strict=True):
        variables: dict = {}
        exec(code, variables)
        check(variables, capsys.readouterr().out)


def test_blocks_that_do_not_run_import_what_there_is() -> None:
    for code in (code for mark, code in BLOCKS if mark):
        imports = [node for node in ast.parse(code).body if isinstance(node, ast.ImportFrom)]
        own = [node for node in imports if (node.module or "").startswith("crfrnn")]
        assert own
        exec(compile(ast.Module(own, []), "README.md", "exec"), {})
