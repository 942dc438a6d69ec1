import json
from pathlib import Path

import numpy as np
import pytest
import torch

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.convert import to_pydensecrf
from crfrnn.densecrf import DenseCRF2D
from crfrnn.presets import FixedCRF
from eval.inputs.crf_file import read_crf, write_crf


@pytest.fixture
def problem() -> tuple[torch.Tensor, torch.Tensor]:
    return 2 * torch.randn(1, 3, 9, 14), 255 * torch.rand(1, 3, 9, 14)


@pytest.mark.parametrize("form", ["scalar", "diagonal", "matrix"])
def test_what_was_learned_comes_back(form: str, tmp_path: Path, problem: tuple) -> None:
    kernels = [smoothness_kernel(2.0, 1.5), appearance_kernel(7.0, 40.0, 2.5)]
    crf = CRFRNN(3, kernels, 3, "symmetric", form, learn_bandwidths=True, learn_filter=True)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
        write_crf(tmp_path / "crf.json", crf, {"note": "learned"})
        found = read_crf(tmp_path / "crf.json")
        assert torch.equal(found(*problem), crf(*problem))
    assert not any(parameter.requires_grad for parameter in found.parameters())
    assert json.loads((tmp_path / "crf.json").read_text())["note"] == "learned"


def test_fixed_parameters_for_every_user(tmp_path: Path, problem: tuple) -> None:
    unary, image = problem[0], problem[1].round()
    wanted = FixedCRF(4, 8, 50, 2, 1.5, 6, "symmetric").build(3)(unary, image).softmax(1)
    write_crf(tmp_path / "crf.json", FixedCRF(4, 8, 50, 2, 1.5, 6, "symmetric").build(3), {})
    content = json.loads((tmp_path / "crf.json").read_text())
    assert content["learned"] == {}
    crf = CRFRNN.from_settings(content["settings"])
    assert torch.equal(crf(unary, image).softmax(1), wanted)

    dense = DenseCRF2D(14, 9, 3)
    dense.setUnaryEnergy(-unary[0].flatten(1).numpy())
    rgb = np.ascontiguousarray(image[0].permute(1, 2, 0).byte().numpy())
    for term in to_pydensecrf(crf):
        if term.srgb is None:
            dense.addPairwiseGaussian(term.sxy, term.compat, normalization=term.normalization)
        else:
            dense.addPairwiseBilateral(term.sxy, term.srgb, rgb, term.compat, normalization=term.normalization)
    beliefs = np.array(dense.inference(crf.num_iterations)).reshape(1, 3, 9, 14)
    np.testing.assert_allclose(beliefs, wanted.detach().numpy(), atol=1e-5)


GOOD = json.dumps({"settings": FixedCRF().build(3).settings(), "learned": {"cell.kernel_weights": [1, 2]}})


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        '{"settings": {"num_labels": 1}, "learned": {}}',
        GOOD.replace("[1, 2]", "[1, Infinity]"),
        GOOD.replace("[1, 2]", "[1, 2, 3]"),
        GOOD.replace("[1, 2]", '"x"'),
        GOOD.replace("[1, 2]", "[1, 1" + "0" * 400 + "]"),
        GOOD.replace("cell.kernel_weights", "other"),
        GOOD.replace('"num_labels": 3', '"num_labels": null'),
        GOOD.replace('"num_labels": 3', '"num_labels": 3, "unknown": 1'),
        GOOD.replace("50.0", "NaN"),
    ],
)
def test_other_files_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(ValueError, match=r"other\.json does not hold the parameters of a CRF"):
        read_crf(tmp_path / "other.json")


@pytest.mark.parametrize("content", [b"no JSON", b"\xff\xfe", b"[" * 100_000, b"[" + b"1" * 5000 + b"]"])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "crf.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"crf\.json cannot be read"):
        read_crf(tmp_path / "crf.json")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_crf(tmp_path)
