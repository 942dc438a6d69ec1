"""A long campaign of generated cases, each property in a process of its own, so that crashes and hangs are seen and counted.

    python -m tests.fuzz --minutes 60

ends with a table of cases, refusals, right answers, wrong ones, crashes and hangs; status 0 where there are none of the last
three. A round runs every property for some hundred cases with a seed of its own; `--seed` is that of the first round.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from tests.fuzz.properties import PROPERTIES
from tests.fuzz.property import REFUSED, RIGHT

ROUND, LIMIT = 300, 600.0
COLUMNS = ("cases", REFUSED, RIGHT, "wrong", "crashed", "hung")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60, help="for how long rounds are started")
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--only", choices=[each.name for each in PROPERTIES], help="run this property alone")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "NOTES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_child(options.child[0], options.seed, Path(options.child[1]))
    return campaign(options.minutes, options.seed, options.only)


def campaign(minutes: float, seed: int, only: str | None) -> int:
    counts = {each.name: Counter[str]() for each in PROPERTIES if only in (None, each.name)}
    end = time.monotonic() + 60 * minutes
    with tqdm(desc="cases", unit=" cases") as bar:
        while time.monotonic() < end:
            for name, count in counts.items():
                found = run_one(name, seed)
                count.update(found)
                bar.update(sum(found.values()))
            seed += 1
    print(table(counts))
    return int(any(count[column] for count in counts.values() for column in COLUMNS[3:]))


def run_one(name: str, seed: int) -> Counter[str]:
    """One round of a property in a process of its own; what went wrong is printed with the command that repeats it."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes")
        command = [sys.executable, "-m", "tests.fuzz", "--child", name, str(notes), "--seed", str(seed)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
            kind = {0: "", 1: "wrong"}.get(done.returncode, "crashed")
            said = done.stdout + done.stderr
        except subprocess.TimeoutExpired as error:
            kind, said = "hung", str(error)
        counts, case = json.loads(notes.read_text()) if notes.exists() else ({}, "none was begun")
    if kind:
        counts[kind] = 1
        tqdm.write(f"{name}, seed {seed}: {kind}\n{said}\nlast case: {case}")
    return Counter(counts)


def run_child(name: str, seed: int, notes: Path) -> int:
    """Run the property; `notes` holds what has been counted and the case that is being checked, for when it never ends."""
    chosen = next(each for each in PROPERTIES if each.name == name)
    counts: Counter[str] = Counter()

    def note(case: object) -> None:
        notes.write_text(json.dumps([counts, repr(case)]))

    chosen.run(ROUND, seed, note, counts)
    note("none: the round is over")
    return 0


def table(counts: dict[str, Counter[str]]) -> str:
    rows = [(name, sum(count.values()), *(count[column] for column in COLUMNS[1:])) for name, count in counts.items()]
    total = ("all", *(sum(row[i] for row in rows) for i in range(1, len(COLUMNS) + 1)))
    lines = [("property", *COLUMNS), *rows, total]
    return "\n".join("".join(f"{cell!s:<{28 if i == 0 else 10}}" for i, cell in enumerate(line)) for line in lines)


if __name__ == "__main__":
    sys.exit(main())
