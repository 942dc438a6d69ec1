import math
from dataclasses import replace
from pathlib import Path

import pytest

from crfrnn.presets import FixedCRF
from eval.inputs.flags import (
    check_counts,
    check_finite,
    check_fixed_crf,
    check_folder,
    check_json,
    check_not_negative,
    check_positive,
)


def test_good_numbers_pass() -> None:
    check_counts(1, every=1, limit=None, iterations=(1, 5, 2**31 - 1))
    check_positive(theta_beta=1e-3, thetas=[2.0, 3.0])
    check_not_negative(noise=0.0)
    check_finite(weight=-2.0)
    check_fixed_crf("dense-crf.", FixedCRF())


@pytest.mark.parametrize(
    ("bad", "wanted"),
    [
        (0, "a whole number of at least 1"),
        (-1, "a whole number of at least 1"),
        (2**31, "at most"),
        (10**20, "at most"),
    ],
)
def test_counts(bad: int, wanted: str) -> None:
    with pytest.raises(ValueError, match=rf"--save-every is {bad}; wanted {wanted}"):
        check_counts(1, save_every=bad)
    with pytest.raises(ValueError, match=rf"--seeds is {bad}; "):
        check_counts(1, seeds=(1, bad))


def test_an_option_without_a_value() -> None:
    with pytest.raises(ValueError, match=r"--grid.theta-beta has no value; wanted one or more"):
        check_positive("grid.", theta_beta=())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite(bad: float) -> None:
    for check in (check_positive, check_not_negative, check_finite):
        with pytest.raises(ValueError, match=rf"--noise is {bad}; "):
            check(noise=bad)


@pytest.mark.parametrize(
    ("field", "flag"), [("theta_alpha", "theta-alpha"), ("theta_beta", "theta-beta"), ("theta_gamma", "theta-gamma")]
)
def test_bandwidths(field: str, flag: str) -> None:
    for bad in (0.0, -1.0):
        with pytest.raises(ValueError, match=rf"--start.{flag} is {bad}; wanted a number above 0"):
            check_fixed_crf("start.", replace(FixedCRF(), **{field: bad}))


def test_folders(tmp_path: Path) -> None:
    check_folder("--out", tmp_path / "new" / "below")
    assert list(tmp_path.iterdir()) == []  # a command that is refused leaves nothing
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(ValueError, match=r"--out is .*, and no file can be written there .*; pass another folder"):
            check_folder("--out", bad)


def test_json_files(tmp_path: Path) -> None:
    check_json("--out", None)
    check_json("--out", tmp_path / "new" / "a.json")
    (tmp_path / "b.json").mkdir()
    (tmp_path / "file").write_text("")
    for bad in (Path(), tmp_path / "a.png", tmp_path / "b.json"):
        with pytest.raises(ValueError, match=r"--out is .*; wanted a file whose name ends in .json"):
            check_json("--out", bad)
    with pytest.raises(ValueError, match=r"the folder of --out is .*, and no file can be written there"):
        check_json("--out", tmp_path / "file" / "a.json")
