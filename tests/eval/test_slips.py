"""A slip on the command line ends in one line that names the flag, before anything is read or computed."""

import importlib
from pathlib import Path

import pytest

CRF = (
    "--dense-crf.theta-beta 0", "--dense-crf.theta-alpha nan", "--dense-crf.num-iterations -1",
    "--dense-crf.appearance-weight inf", "--dense-crf.smoothness-weight 1e309",
)  # fmt: skip
OUT = "--out {file}", "--out {file}/below"
TUNING = "--data nowhere --unaries nowhere.npz --out out", ("--draw -1", *OUT)
COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "run": (
        "--checkpoint nowhere --data nowhere",
        (*CRF, *OUT, "--every 0", "--limit -1", "--pictures -1", "--iterations 5 -1", f"--iterations {10**20}"),
    ),
    "segment": ("photo.jpg --checkpoint nowhere", (*OUT, "--iterations -1")),
    "parts": ("photo.jpg --checkpoint nowhere --boxes nowhere", (*OUT, "--iterations -1", "--scales nan")),
    "beliefs": (
        "photo.jpg --label cat --scores nowhere",
        (*CRF, *OUT, "--tensorboard {file}", "--iterations -1"),
    ),
    "compare": ("--data nowhere --scores nowhere --out out", (*CRF, *OUT, "--every 0", "--count 0")),
    "tuning.search": (
        TUNING[0],
        (
            *TUNING[1],
            "--rounds -1",
            "--num-iterations -1",
            "--workers 0",
            "--grid.theta-beta 5 nan",
            "--grid.theta-gamma 0",
        ),
    ),
    "tuning.table": (TUNING[0], ("--out {file}/below", "--draw -1", "--iterations -1", "--workers 0")),
    "tuning.learn": (
        TUNING[0],
        (
            *TUNING[1],
            "--steps -1",
            "--batch-size 0",
            "--kernel-weight-lr nan",
            "--compatibility-lr -1",
            "--bandwidth-lr inf",
            "--seed -1",
            "--start.theta-alpha 0",
            "--start.num-iterations 0",
        ),
    ),
    "tuning.ablate": (
        TUNING[0],
        (
            *TUNING[1],
            "--steps -1",
            "--seeds -1",
            "--train-iterations 0",
            "--test-iterations 0",
            "--test-images 0",
            "--workers 0",
            "--start.theta-gamma -1",
            "--start.appearance-weight nan",
        ),
    ),
    "tuning.grid_crf": (
        TUNING[0],
        (
            *TUNING[1],
            *CRF,
            "--neighbors 6",
            "--noise nan",
            "--pictures -1",
            "--grid-weights inf",
            "--grid-betas 0",
            "--weights nan",
            "--alphas -1",
            "--betas 0",
        ),
    ),
    "bench.accuracy": (
        "--images nowhere",
        ("--crop 0 5", "--theta-alpha 0", "--theta-beta nan", "--theta-gamma inf", "--out {file}", "--out out.png"),
    ),
    "bench.parity": ("--image nowhere", ("--labels 1", "--iterations 0", "--out {file}")),
    "bench.speed": ("--image nowhere", ("--threads 0", "--repeats 0", "--out {file}")),
    "bench.whole_set": ("--unaries nowhere --data nowhere", ("--limit 0", "--threads 0", "--out {file}")),
}


@pytest.mark.parametrize(
    ("command", "arguments", "slip"),
    [(name, base, slip) for name, (base, slips) in COMMANDS.items() for slip in slips],
)
def test_slips(
    command: str,
    arguments: str,
    slip: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    main = importlib.import_module(f"eval.{command}").main
    assert main([*arguments.split(), *slip.format(file=tmp_path / "file").split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"eval.{command}: ")
    assert f"{slip.split()[0]} is " in captured.err
    assert captured.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("segment", "parts")])
@pytest.mark.parametrize("table", ["table.png", "file/below.csv"])
def test_a_table_that_cannot_be_written(
    command: str, table: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    main = importlib.import_module(f"eval.{command}").main
    assert main([*COMMANDS[command][0].split(), "--table", table]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"eval.{command}: ")
    assert "--table is " in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
