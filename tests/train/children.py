"""train.run in child processes."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess

from tests.children import server

Prepare = Callable[[], None]


def start(argv: list[str], environment: dict[str, str] | None = None, prepare: Prepare | None = None) -> BaseProcess:
    """train.run with `argv` in a child; `prepare`, a function of a module, is called there first."""
    child = server().Process(target=_run, args=(argv, environment or {}, prepare))
    child.start()
    return child


def start_pair(argv: list[str], restarts: int = 0, prepare: Prepare | None = None) -> list[BaseProcess]:
    """Two children joined as torchrun joins them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "TORCHELASTIC_RESTART_COUNT": str(restarts),
    }
    return [start(argv, {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, prepare) for rank in range(2)]


def without_pictures(patch: Callable[[object, str, object], None]) -> None:
    """Leave out the figures, which take most of the time of a run this small."""
    import train.board.pictures
    import train.finish
    import train.validation

    patch(train.board.pictures, "write_sheets", nothing)
    patch(train.board.pictures, "write_confusion", nothing)
    patch(train.board.pictures, "write_label_terms", nothing)
    patch(train.board.pictures, "write_estimate", nothing)
    patch(train.validation, "sheet", nothing)
    patch(train.finish, "write_beliefs", nothing)
    patch(train.finish, "panel", nothing)
    patch(train.finish, "save_figure", nothing)


def nothing(*args: object) -> None:
    """Stands for whatever draws."""


def _run(argv: list[str], environment: dict[str, str], prepare: Prepare | None) -> None:
    import torch

    from train.run import main

    os.environ.update(environment)
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # for what reads images; the child has inherited another
    without_pictures(setattr)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 the child ends with it
    if prepare is not None:
        prepare()
    sys.exit(main(argv))
