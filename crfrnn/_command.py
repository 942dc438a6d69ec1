"""What all commands share: how they end, errors as one line instead of a traceback, and the text of --help."""

import os
import re
import select
import signal
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO


def exit_with(main: Callable[[], int]) -> NoReturn:
    """End the process with the exit code of `main`, and quietly where nobody reads its output any longer (`| head`)."""
    try:
        try:
            code = main()
        finally:  # --help leaves by SystemExit
            sys.stdout.flush()
    except BrokenPipeError:
        unread = _unread()
        if not unread:
            raise
        for stream in unread:  # what is left in their buffers has to go somewhere when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        code = 128 + signal.SIGPIPE
    sys.exit(code)


def exit_code(name: str, command: Callable[[], int]) -> int:
    """The result of `command`; 2, with a line on stderr, where input or numbers were no good, or an extra is missing."""
    try:
        return command()
    except (OSError, ValueError, FloatingPointError, ImportError) as error:
        if isinstance(error, BrokenPipeError) and _unread():
            raise
        complain(name, error)
        return 2


def complain(name: str, error: Exception) -> None:
    """Print `error` as one line on stderr, in the name of a command."""
    text = str(error)
    if "DataLoader worker process" in text:
        # Torch wraps the error of a process that reads data in the text of its traceback.
        text = text.strip().splitlines()[-1].partition(": ")[2] or text
    print(f"{name}: {' '.join(text.split())}", file=sys.stderr)


def description(text: str | None) -> str:
    """The docstring of a command for tyro, which would join the lines of its examples were they not indented."""
    paragraphs = (text or "").strip().split("\n\n")
    return "\n\n".join(
        re.sub("^", "  ", paragraph, flags=re.MULTILINE)
        if paragraph.startswith(("python ", "torchrun "))
        else paragraph
        for paragraph in paragraphs
    )


def _unread() -> list[TextIO]:
    """Those of stdout and stderr that are pipes whose reader is gone."""
    found = []
    for stream in (sys.stdout, sys.stderr):
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        if poll.poll(0):
            found.append(stream)
    return found
