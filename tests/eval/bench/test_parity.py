"""The comparison with pydensecrf, with this project's module in its place: equal to itself, and not to a changed one."""

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import crfrnn.densecrf
from eval.bench.parity import main


class Changed(crfrnn.densecrf.DenseCRF2D):
    """As if it had turned the sign of every number."""

    def addPairwiseGaussian(self, sxy: float, compat: float, **options: int) -> None:
        super().addPairwiseGaussian(sxy, -compat, **options)


def stand_in(monkeypatch: pytest.MonkeyPatch, image_crf: type) -> None:
    """Make pydensecrf a module with the names of crfrnn.densecrf and another DenseCRF2D."""
    package, module = ModuleType("pydensecrf"), ModuleType("pydensecrf.densecrf")
    module.__dict__.update({name: getattr(crfrnn.densecrf, name) for name in crfrnn.densecrf.__all__})
    module.DenseCRF2D = image_crf  # type: ignore[attr-defined]
    package.densecrf, package.utils = module, crfrnn.densecrf.utils  # type: ignore[attr-defined]
    for each in (package, module):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    monkeypatch.setitem(sys.modules, "pydensecrf.utils", crfrnn.densecrf.utils)


@pytest.mark.parametrize(("image_crf", "code"), [(crfrnn.densecrf.DenseCRF2D, 0), (Changed, 1)])
def test_exit_code_and_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], image_crf: type, code: int
) -> None:
    stand_in(monkeypatch, image_crf)
    photo, out = tmp_path / "photo.png", tmp_path / "parity.json"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)).save(photo)
    assert main(["--image", str(photo), "--labels", "3", "--iterations", "2", "--out", str(out)]) == code
    facts = json.loads(out.read_text())
    assert len(facts["grid"]) == 2 * 4 * 3 * 3
    assert all(row["met"] for row in facts["others"])
    assert all(row["max difference"] == 0 for row in facts["grid"]) == (code == 0)
    assert ("NO" in capsys.readouterr().out.split()) == (code == 1)


def test_without_pydensecrf_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    assert main([]) == 2
    assert "pip install" in capsys.readouterr().err
