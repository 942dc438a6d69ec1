"""Commands as they are printed: found in a page, and run in a folder that holds nothing."""

import argparse
import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import tyro

from train.folder import plain
from train.recipes import RECIPES

PARSED_ALONE = {
    "crfrnn.data.download": "fetches gigabytes; tests/data/download fetches from a server of its own",
    "eval.bench.gpu.device": "needs a GPU; tests/eval/bench/test_gpu.py says so without one",
    "eval.published": "needs nothing; tests/eval/test_published.py runs it",
    "tests.train.killing": "takes minutes",
    "tests.eval.killing": "takes minutes",
}
"""commands that are not begun, with the reason"""
FOREIGN = {
    "pip": "changes the environment",
    "pytest": "runs these tests",
    "tensorboard": "serves pages until it is stopped",
}
"""commands of others, with the reason for leaving them out"""


class Parsed(Exception):
    """Raised in place of what a command does once it has read its options."""


def printed(page: str) -> Iterator[list[str]]:
    """The commands in the blocks of a page that are no code, and those with arguments in its text, as lists of words."""
    blocks = [
        code for language, code in re.findall(r"^```(.*?)\n(.*?)^```", page, re.DOTALL | re.MULTILINE) if not language
    ]
    text = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    inline = re.findall(r"`((?:python -m|pip) [^`]+ [^`]+)`", text)
    for line in "\n".join([*blocks, *inline]).replace("\\\n", " ").splitlines():
        for command in line.split(" && "):
            if command.partition(" ")[0] in ("python", "torchrun", *FOREIGN):
                yield shlex.split(command, comments=True)


def run_in_empty_folder(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command where nothing of what it names is there: it must say so in one line, or show its help.

    One that would begin, since it needs nothing or is among PARSED_ALONE, has its options read and ends there.
    """
    if words[0] in FOREIGN or "-m" not in words or words[words.index("-m") + 1] in FOREIGN:
        return  # a script in a page has a test of its own
    module, *argv = words[words.index("-m") + 1 :]
    recipe = argv[argv.index("--recipe") + 1] if "--recipe" in argv else ""
    if recipe.endswith(".json"):
        Path(recipe).parent.mkdir(parents=True)
        Path(recipe).write_text(json.dumps(plain(RECIPES["voc_small"])))
    package = importlib.import_module(module)
    main = (importlib.import_module(f"{module}.__main__") if hasattr(package, "__path__") else package).main
    if module in PARSED_ALONE or not argv:
        end_after_parsing(monkeypatch)
        with pytest.raises(Parsed):
            main(argv)
    elif "--help" in argv:
        with pytest.raises(SystemExit, match="0"):
            main(argv)
    else:
        assert main(argv) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith(f"{module}: ")
        assert any(word in said for word in argv if not word.startswith("--")), said
        assert re.search(
            "there (is|are) (no|neither)|do(es)? not (exist|hold)|holds no|are missing|nothing matches", said
        )


def end_after_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the parsers of the commands raise Parsed once they have read all options."""
    parse, cli = argparse.ArgumentParser.parse_args, tyro.cli

    def parse_args(*arguments: object, **more: object) -> None:
        parse(*arguments, **more)  # type: ignore[call-overload]
        raise Parsed

    def tyro_cli(*arguments: object, **more: object) -> None:
        cli(*arguments, **more)  # type: ignore[call-overload]
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    monkeypatch.setattr(tyro, "cli", tyro_cli)
