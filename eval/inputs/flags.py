"""What options of commands may be, checked before any work is done. Messages name the flag.

Options are passed by their names in Python: `theta_beta=0.0` is --theta-beta, and with the prefix "dense-crf." it is
--dense-crf.theta-beta. None stands for an option that was left out. Of a sequence, every number is checked.
"""

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from crfrnn.presets import FixedCRF

MOST = 2**31 - 1
Numbers = float | Sequence[float] | None


def check_counts(least: int, prefix: str = "", **options: Numbers) -> None:
    """Raise ValueError where a number is below `least` or too large to count anything."""
    _check(prefix, options, lambda value: value >= least, f"a whole number of at least {least}")
    _check(prefix, options, lambda value: value <= MOST, f"at most {MOST}")


def check_positive(prefix: str = "", **options: Numbers) -> None:
    """Raise ValueError where a number is not positive and finite."""
    _check(prefix, options, lambda value: 0 < value < math.inf, "a number above 0, and finite")


def check_not_negative(prefix: str = "", **options: Numbers) -> None:
    """Raise ValueError where a number is negative or not finite."""
    _check(prefix, options, lambda value: 0 <= value < math.inf, "a number of 0 or more, and finite")


def check_finite(prefix: str = "", **options: Numbers) -> None:
    """Raise ValueError where a number is infinite or NaN."""
    _check(prefix, options, math.isfinite, "a finite number")


def check_fixed_crf(prefix: str, crf: FixedCRF) -> None:
    """Raise ValueError where a number of a dense CRF makes no sense."""
    check_finite(prefix, appearance_weight=crf.appearance_weight, smoothness_weight=crf.smoothness_weight)
    check_positive(prefix, theta_alpha=crf.theta_alpha, theta_beta=crf.theta_beta, theta_gamma=crf.theta_gamma)
    check_counts(0, prefix, num_iterations=crf.num_iterations)


def check_min_belief(min_belief: float, num_labels: int) -> None:
    """Raise ValueError where --min-belief could leave out every label."""
    if not 0 <= min_belief < 1 / num_labels:
        raise ValueError(
            f"--min-belief is {min_belief}; wanted 0 or more, and below 1 / {num_labels}, one over the labels"
        )


def check_folder(flag: str, folder: Path) -> None:
    """Raise ValueError where results cannot be written into a folder, or into one yet to be made."""
    place = folder
    try:
        while not _is_there(place):
            place = place.parent
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ValueError(
            f"{flag} is {str(folder)!r}, and no file can be written there ({error.strerror}); pass another folder"
        ) from error


def check_json(flag: str, path: Path | None) -> None:
    """Raise ValueError where a JSON file cannot be written."""
    if path is None:
        return
    if path.suffix != ".json" or path.is_dir():
        raise ValueError(f"{flag} is {str(path)!r}; wanted a file whose name ends in .json")
    check_folder(f"the folder of {flag}", path.parent)


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _check(prefix: str, options: dict[str, Numbers], good: Callable[[float], bool], wanted: str) -> None:
    for name, given in options.items():
        flag = f"--{prefix}{name.replace('_', '-')}"
        values = given if isinstance(given, Sequence) else () if given is None else (given,)
        if given is not None and not values:
            raise ValueError(f"{flag} has no value; wanted one or more, each {wanted}")
        for value in values:
            if not good(value):
                raise ValueError(f"{flag} is {value}; wanted {wanted}")
