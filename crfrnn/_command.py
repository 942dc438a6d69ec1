"""What all commands share: exit codes, and errors as one line instead of a traceback."""

import sys
from collections.abc import Callable


def exit_code(name: str, command: Callable[[], int]) -> int:
    """The result of `command`; 2, with a line on stderr, where input or numbers were no good, or an extra is missing."""
    try:
        return command()
    except (OSError, ValueError, FloatingPointError, ImportError) as error:
        complain(name, error)
        return 2


def complain(name: str, error: Exception) -> None:
    """Print `error` as one line on stderr, in the name of a command."""
    text = str(error)
    if "DataLoader worker process" in text:
        # Torch wraps the error of a process that reads data in the text of its traceback.
        text = text.strip().splitlines()[-1].partition(": ")[2] or text
    print(f"{name}: {' '.join(text.split())}", file=sys.stderr)
