"""What commands have in common: --help explains every flag and keeps the lines of its examples, and `| head` is no error."""

import argparse
import importlib
import os
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import tyro

from crfrnn._command import description, exit_code, exit_with

ROOT = Path(__file__).parents[1]
COMMANDS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("crfrnn", "eval", "train")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if re.search(r"^def main\(argv", path.read_text(encoding="utf-8"), re.MULTILINE)
]


class Parsing(Exception):
    """A command begins to read its options, with `parser`."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


@pytest.fixture
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    """What reads the options of a command, one of tyro or of argparse."""

    def cli(options: type, args: object = None, **settings: object) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            raise Parsing(tyro.extras.get_parser(options, **settings))  # type: ignore[call-overload]

    def parse_args(parser: argparse.ArgumentParser, argv: object = None) -> None:
        raise Parsing(parser)

    command = importlib.import_module(request.param)
    monkeypatch.setattr(tyro, "cli", cli)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    with pytest.raises(Parsing) as found:
        command.main([])
    return found.value.parser


def test_the_commands_are_found() -> None:
    assert {"train.run", "eval.run", "eval.bench.speed", "eval.published.__main__", "crfrnn.nets.convert"} <= set(
        COMMANDS
    )


@pytest.mark.parametrize("parser", COMMANDS, indirect=True)
def test_every_flag_is_explained(parser: argparse.ArgumentParser) -> None:
    helps = {flag: str(action.help) for action in parser._actions for flag in action.option_strings or [action.dest]}
    assert len(helps) > 2
    plain = {
        flag: re.sub(r"\x1b\[[\d;]*m|\((default|required|unset).*", "", text).strip() for flag, text in helps.items()
    }
    assert [flag for flag, text in plain.items() if text in ("", "None")] == []


@pytest.mark.parametrize("command", ["eval.beliefs", "eval.compare", "train.run", "train.runs", "train.targets"])
def test_help_keeps_the_lines_of_its_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(command)
    with pytest.raises(SystemExit):
        module.main(["--help"])
    printed = {line.strip() for line in capsys.readouterr().out.splitlines()}
    examples = [line for line in str(module.__doc__).splitlines() if line.startswith(("python -m", "torchrun"))]
    assert examples
    assert [line for line in examples if line not in printed] == []


def test_only_examples_are_indented() -> None:
    text = "What it does.\n\npython -m a        one\ntorchrun -m a      two\n\nMore on python\nand this.\n"
    assert (
        description(text)
        == "What it does.\n\n  python -m a        one\n  torchrun -m a      two\n\nMore on python\nand this."
    )


def code_unread(main: Callable[[], int]) -> object:
    """How a command ends whose stdout is a pipe that nobody reads any longer, as behind `| head`."""
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.MonkeyPatch.context() as patch, os.fdopen(writer, "w", encoding="utf-8") as stream:
        patch.setattr(sys, "stdout", stream)  # here, since pytest sets its own when a test begins
        with pytest.raises(SystemExit) as end:
            exit_with(main)
        stream.flush()  # as Python does at the end
    return end.value.code


@pytest.mark.parametrize("size", [10, 100_000])
def test_output_that_nobody_reads_ends_a_command_quietly(size: int, capfd: pytest.CaptureFixture[str]) -> None:
    def printing() -> int:
        print("x" * size)
        return 0

    assert code_unread(lambda: exit_code("eval.run", printing)) == 141  # 128 + SIGPIPE, as shells say it
    assert capfd.readouterr().err == ""


def test_help_that_nobody_reads() -> None:
    from train.run import main

    assert code_unread(lambda: main(["--help"])) == 141


def test_a_pipe_to_another_process_is_an_error_like_others(capfd: pytest.CaptureFixture[str]) -> None:
    def broken() -> int:
        raise BrokenPipeError(32, "Broken pipe")

    assert exit_code("eval.run", broken) == 2
    assert capfd.readouterr().err == "eval.run: [Errno 32] Broken pipe\n"
    with pytest.raises(BrokenPipeError):
        exit_with(broken)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_ends_that_way(command: str) -> None:
    source = ROOT.joinpath(*command.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    assert source.endswith('if __name__ == "__main__":\n    exit_with(main)\n')
