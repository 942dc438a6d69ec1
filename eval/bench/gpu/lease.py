"""Everything that wants a GPU, one after the other, for half an hour with one: tests, the speed table, joint training.

python -m eval.bench.gpu.lease --out DIR --data VOCdevkit --init vgg16.pt

1. `tests`: the contract suite of the lattice and the tests of kernels and layer, on the device.
2. `speed`: `eval.bench.gpu.device`, written to device.json.
3. `training`: the recipe voc (network, CRF alone, jointly; the control of joint training and a CRF on it) in the folder voc,
   with as many of its published steps as fit into what is left of --minutes; every stage is shortened alike. It needs
   --data.

Each writes DIR/NAME.txt as it goes. The same command continues after an interruption: steps that are done are not
repeated, and training continues from its last checkpoint. lease.json records how each step ended. A step that fails does
not keep the others from running, and runs again the next time.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from crfrnn._command import exit_code, exit_with

ROOT = Path(__file__).parents[3]
SUITES = ("tests/gpu", "tests/lattice", "tests/kernels", "tests/test_meanfield.py")
STAGES = {"network": (6000, 30), "crf": (1000, 4), "joint": (4000, 4), "control": (4000, 4), "control-crf": (1000, 4)}
"""steps and images a step of the recipe voc"""
FOLLOWING = {"control": "joint", "control-crf": "crf"}
"""its stages that have the steps of another"""
WITHOUT_CRF = ("network", "control")
STEP_SIZE = 2000
"""of its first stage: after so many steps the rate falls"""
READING = 3.0
"""a step takes so many times what the device alone takes, for reading and augmenting images; a guess"""
TABLE = 400.0
"""seconds for the table at the end of the training"""


class Step(NamedTuple):
    """A part of the lease: a command, made when it is its turn, and what it finds in its environment."""

    name: str
    command: Callable[[float], list[str]]  # of the seconds that are left
    environment: Mapping[str, str]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 1 where a step failed."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="python -m eval.bench.gpu.lease", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--data", type=Path, help="VOCdevkit (default: no training)")
    parser.add_argument("--init", default="imagenet-v1", help="weights that the training begins with, see train.run")
    parser.add_argument("--images", nargs="+", type=Path, default=[], help="photographs for the speed table")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the lease (default: 30)")
    options = parser.parse_args(argv)
    try:
        return exit_code("eval.bench.gpu.lease", lambda: run(options, argv))
    except KeyboardInterrupt:
        print("eval.bench.gpu.lease: interrupted; the same command continues", file=sys.stderr)
        return 130


def run(options: argparse.Namespace, argv: Sequence[str]) -> int:
    """Take all steps. Raises ValueError without a device, and as reading lease.json does."""
    import torch

    from crfrnn._files import read_json
    from eval.inputs.flags import check_folder, check_positive
    from eval.scoring.record import hardware, origin

    if not torch.cuda.is_available():
        raise ValueError("there is no GPU that torch can use; wanted one, since everything here runs on it")
    check_positive(minutes=options.minutes)
    check_folder("--out", options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "lease.json"
    record = read_json(path) if path.exists() else {}
    record |= {**origin("eval.bench.gpu.lease", argv), "hardware": hardware(torch.device("cuda"))}
    failed = take(steps_of(options), options.out, record, 60 * options.minutes)
    if failed:
        print(f"eval.bench.gpu.lease: failed: {', '.join(failed)}; see {options.out}/NAME.txt", file=sys.stderr)
    return 1 if failed else 0


def steps_of(options: argparse.Namespace) -> list[Step]:
    """The steps, in their order."""
    out = options.out.absolute()
    tests = [sys.executable, "-m", "pytest", *SUITES, "-k", "not compiled"]
    images = ["--images", *(str(image.absolute()) for image in options.images)] if options.images else []
    speed = [sys.executable, "-m", "eval.bench.gpu.device", *images, "--out", str(out / "device.json")]
    steps = [Step("tests", lambda left: tests, {"CRFRNN_TEST_DEVICE": "cuda"}), Step("speed", lambda left: speed, {})]
    if options.data is not None:
        data, init = options.data.absolute(), options.init
        init = str(Path(init).absolute()) if Path(init).exists() else init
        steps.append(Step("training", lambda left: training(out, data, init, left), {}))
    return steps


def take(steps: Sequence[Step], out: Path, record: dict[str, Any], seconds: float) -> list[str]:
    """Take the steps that `record` does not have as done, within so many seconds; returns the names of those that fail."""
    from eval.scoring.record import write_json

    done = record.setdefault("steps", {})
    left = seconds - sum(each["seconds"] for each in done.values())
    for step in steps:
        if done.get(step.name, {}).get("code") == 0:
            continue
        began = time.monotonic()
        try:
            code = call(step.command(left), {**os.environ, **step.environment}, out / f"{step.name}.txt")
        except ValueError as error:  # no command can be made; the next steps may still run
            (out / f"{step.name}.txt").write_text(f"{error}\n", encoding="utf-8")
            code = 2
        took = time.monotonic() - began
        left -= took
        before = done.get(step.name, {"seconds": 0.0})["seconds"]
        done[step.name] = {"code": code, "seconds": before + took}
        write_json(out / "lease.json", record)
        print(f"{step.name}: {'done' if code == 0 else f'failed with code {code}'} after {took:.0f} s", flush=True)
    return [step.name for step in steps if done[step.name]["code"] != 0]


def call(command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Run a command in the checkout, its output added to `log` as it comes; returns its exit code.

    After Ctrl-C, which reaches the command as well, it is waited for: training writes a checkpoint first.
    """
    with log.open("ab") as file:
        child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.wait()
            raise


def training(out: Path, data: Path, init: str, left: float) -> list[str]:
    """The command that trains in so many seconds, or goes on with what was begun.

    Raises ValueError where the speed table is missing, or no time is left.
    """
    from crfrnn._files import read_json

    folder = out / "voc"
    command = [sys.executable, "-m", "train.run", "--data", str(data), "--init", init, "--out", str(folder)]
    if (folder / "recipe.json").exists():
        return [*command, "--resume"]
    if not (out / "device.json").exists():
        raise ValueError(
            "the length of the training follows from device.json, which is missing: the step speed has failed"
        )
    steps = fitting_steps(read_json(out / "device.json")["joint step"], left - TABLE)
    own = {name: count for name, count in steps.items() if name not in FOLLOWING}
    stages = [text for name, count in own.items() for text in (f"--stages.{name}.steps", str(count))]
    shortened = str(max(1, STEP_SIZE * steps["network"] // STAGES["network"][0]))
    return [*command, "--recipe", "voc", *stages, "--stages.network.step-size", shortened]


def fitting_steps(milliseconds: Mapping[str, float], left: float) -> dict[str, int]:
    """The steps of every stage that fit, at most those published.

    Args:
        milliseconds: of a training step over 8 images, by "network" and "with CRF".
        left: seconds.

    Raises ValueError where not one step of each fits.
    """
    kinds = {name: "network" if name in WITHOUT_CRF else "with CRF" for name in STAGES}
    needed = sum(READING * n * size / 8 * milliseconds[kinds[name]] / 1e3 for name, (n, size) in STAGES.items())
    steps = {name: int(min(1.0, left / needed) * count) for name, (count, _) in STAGES.items()}
    if min(steps.values()) < 1:
        raise ValueError(f"{left:.0f} s are left for the training; wanted more: raise --minutes")
    return steps


if __name__ == "__main__":
    exit_with(main)
