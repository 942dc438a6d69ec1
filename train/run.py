"""Train a network, the parameters of a CRF-RNN on it, or both jointly, in the stages of a recipe.

python -m train.run                                                              the toy recipe, minutes on a CPU
python -m train.run --recipe voc --data VOCdevkit --init FILE --out DIR          PASCAL VOC
python -m train.run --recipe DIR/recipe.json --data VOCdevkit --out OTHER        a run again
python -m train.run --resume --data VOCdevkit --out DIR                          an interrupted run, to its end
python -m train.run --recipe voc --help                                          every field of a recipe
torchrun --nproc-per-node 4 --max-restarts 3 -m train.run --recipe voc --data VOCdevkit --init FILE --out DIR
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from crfrnn._command import exit_code, exit_with
from train.options import parse

if TYPE_CHECKING:  # what is slow to import waits until the options are parsed
    from train.steps.memory import Memory


def main(argv: Sequence[str] | None = None, memory: "Memory | None" = None) -> int:
    """Run the command; returns its exit code: 2 for bad input, 128 + N where signal N stopped it.

    `memory` is what the runs of one process share: what frozen trunks gave.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    return exit_code("train.run", lambda: run(argv, memory))


def run(argv: list[str], memory: "Memory | None" = None) -> int:
    """Read the options, then load what takes seconds to load, then do what they ask for."""
    name, options = parse(argv, __doc__)
    from train.stages import start

    return start(name, options, argv, memory)


if __name__ == "__main__":
    exit_with(main)
