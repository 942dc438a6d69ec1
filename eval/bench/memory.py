"""Peak memory of one whole inference, measured in a process of its own: `measure_memory`.

Run as a program, this file is that process: it reads a case as JSON from its argument and prints bytes as JSON.
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

    So unary, image and result are part of it; interpreter, libraries and compiled code are not. Raises ChildProcessError
    where a process fails, as it does where memory runs out.
    """
    peaks = {key(*system): _in_a_process(replace(case, systems=(system,)), inputs) for system in case.systems}
    return {**description(case), "peak bytes": peaks}


def _in_a_process(case: Case, inputs: Inputs) -> int:
    files = {"image": _absolute(inputs.image), "unary": _absolute(inputs.unary)}
    command = [sys.executable, "-m", "eval.bench.memory", json.dumps({"case": asdict(case), "inputs": files})]
    result = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no message: the system may have stopped it for its memory"])[
            -1
        ]
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
    # A small run first: what is compiled or loaded on first use is no memory of the inference.
    small = Inputs(None, None).problem(replace(case, size=(8, 8), labels=2, batch=1))
    function_for(system, small, threads)()
    before = peak_memory()
    function_for(system, inputs.problem(case), threads)()
    print(json.dumps(peak_memory() - before))


if __name__ == "__main__":
    main()
