"""Peak memory of one whole inference, measured in a separate process: `measure_memory`.

Run as a program, this file is that process: it takes a case as JSON in its argument and prints bytes as JSON.
"""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from eval.bench.peers import function_for
from eval.bench.sections import Case, Inputs, description, key
from eval.bench.timing import peak_memory


def measure_memory(case: Case, inputs: Inputs) -> dict[str, Any]:
    """Peak memory of every system of a case, in bytes above what the process held before it made its input.

    This includes unary, image and result, but not the interpreter, libraries and compiled code. Raises ChildProcessError
    if a process fails, for instance because memory runs out.
    """
    peaks = {key(*system): _in_a_process(replace(case, systems=(system,)), inputs) for system in case.systems}
    return {**description(case), "peak bytes": peaks}


def _in_a_process(case: Case, inputs: Inputs) -> int:
    files = {"image": _absolute(inputs.image), "unary": _absolute(inputs.unary)}
    command = [sys.executable, "-m", "eval.bench.memory", json.dumps({"case": asdict(case), "inputs": files})]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        reason = lines[-1] if lines else "no message: the system may have stopped it for its memory"
        raise ChildProcessError(
            f"the measurement of memory of {description(case)} ended with {result.returncode}: {reason}"
        )
    return json.loads(result.stdout)


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


def main() -> None:
    request = json.loads(sys.argv[1])
    fields = request["case"]
    system, threads = fields["systems"][0]
    case = Case(**{**fields, "thetas": tuple(fields["thetas"]), "size": tuple(fields["size"]), "systems": ()})
    inputs = Inputs(**{name: path and Path(path) for name, path in request["inputs"].items()})
    torch.set_num_threads(threads)
    # A small run first, so that what is compiled or loaded on first use does not count.
    small = Inputs(None, None).workload(replace(case, size=(8, 8), labels=2, batch=1))
    function_for(system, small, threads)()
    before = peak_memory()
    function_for(system, inputs.workload(case), threads)()
    print(json.dumps(peak_memory() - before))


if __name__ == "__main__":
    main()
