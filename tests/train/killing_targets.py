"""Kill train.targets at random moments, start it again each time, and compare its files with those of one left alone.

python -m tests.train.killing_targets --kills 20                (minutes; ends with 1 where a byte differs)
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from crfrnn.data import make_toy
from train.label_maps import PARAMETERS

LIMIT = 1800  # seconds for everything


def command(data: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "train.targets", *f"--data {data} --list train --boxes regions --out {out}".split()]


def differences(got: Path, wanted: Path) -> list[str]:
    """Files that are there in one folder alone, or are not the same in every byte, but for the command they note."""
    ours, theirs = (
        {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()} for folder in (got, wanted)
    )
    alike = [name for name in ours.keys() & theirs.keys() if name.name != PARAMETERS]
    other = [name for name in alike if ours[name].read_bytes() != theirs[name].read_bytes()]
    return sorted(map(str, [*(ours.keys() ^ theirs.keys()), *other]))


def kill(argv: Sequence[str], count: int, startup: float, work: float) -> int:
    """Start the command until it is complete, killing it `count` times at most; returns how often it was killed."""
    killed, deadline = 0, time.monotonic() + LIMIT
    with tqdm(total=count, desc="kills", unit="kill") as bar:
        while time.monotonic() < deadline:
            child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                code = child.wait(random.uniform(0.7 * startup, startup + 2 * work / count) if killed < count else None)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                killed += 1
                bar.update()
                continue
            if code:
                raise RuntimeError(f"the command ended with {code} after {killed} kills")
            return killed
    raise TimeoutError(f"not through after {LIMIT} seconds")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.train.killing_targets", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(argv)
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = make_toy(root / "toy", num_train=options.images, num_val=1)
        began = time.monotonic()
        subprocess.run([*command(data, root / "help"), "--list", "val"], check=True, stdout=subprocess.DEVNULL)
        startup = time.monotonic() - began
        began = time.monotonic()
        subprocess.run(command(data, root / "whole"), check=True, stdout=subprocess.DEVNULL)
        work = time.monotonic() - began - startup
        killed = kill(command(data, root / "killed"), options.kills, startup, work)
        found = differences(root / "killed", root / "whole")
    print(f"{startup:.1f} s to start, {work:.1f} s of work; killed {killed} times; different: {found or 'nothing'}")
    return int(bool(found) or killed < options.kills)


if __name__ == "__main__":
    sys.exit(main())
