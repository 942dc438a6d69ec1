"""The flag --figures of the commands that draw: the format of the files."""

import argparse
from typing import Annotated, Literal

import tyro

FORMATS = ("png", "pdf", "svg")
HELP = "format of the figures: pixels, or lines and text for papers"
FigureFormat = Annotated[Literal["png", "pdf", "svg"], tyro.conf.arg(help=HELP)]
"""The type of the option --figures"""


def add_figures_flag(parser: argparse.ArgumentParser) -> None:
    """The option --figures for a command that reads its options with argparse."""
    parser.add_argument("--figures", choices=FORMATS, default="png", help=f"{HELP} (default: png)")
