"""The notebooks run from their first cell to the last, on the generated set, and do what they say."""

import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest

FOLDER = Path(__file__).parents[2] / "eval" / "notebooks"


def run(name: str, **changed: int) -> dict[str, Any]:
    """The variables that a notebook leaves; `changed` are numbers of its first cell to make it shorter."""
    cells = [
        cell for cell in json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"] if cell["cell_type"] == "code"
    ]
    variables: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        exec(compile("".join(cell["source"]), f"{name}, cell {number}", "exec"), variables)
        if number == 0:
            assert changed.keys() <= variables.keys()
            variables.update(changed)
    return variables


@pytest.fixture(autouse=True)
def no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib.use("Agg")
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)


def test_masks_get_better() -> None:
    left = run("refine_masks")
    assert left["iou"](left["refined"]) > left["iou"](left["mask"]) + 1
    assert left["several"].shape[1:] == left["mask"].shape


def test_joint_training_moves_the_crf_and_the_network() -> None:
    left = run("joint_training", STEPS=12)
    assert len(left["losses"]) == 12
    assert left["losses"][-1] < left["losses"][0]
    assert [state.iteration for state in left["states"]] == [0, 1, 2, 3, 4, 5]
    start = type(left["model"])(len(left["classes"])).crf.cell.compatibility
    assert (left["model"].crf.cell.compatibility - start).abs().max() > 1e-4
