"""Every command that the READMEs print is run: its own parser reads it, and what is missing is said in one line."""

import re
from pathlib import Path

import pytest

from tests.commands import FOREIGN, PARSED_ALONE, printed, run_in_empty_folder

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "crfrnn/README.md", "train/README.md", "eval/README.md"]
COMMANDS = {" ".join(words): words for page in PAGES for words in printed((ROOT / page).read_text(encoding="utf-8"))}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_readmes(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run_in_empty_folder(COMMANDS[command], monkeypatch, capsys)


@pytest.mark.parametrize("page", PAGES)
def test_all_commands_with_arguments_are_found(page: str) -> None:
    content = (ROOT / page).read_text(encoding="utf-8")
    found = [words for words in printed(content) if words[0] not in FOREIGN and "-m" in words[:-2]]
    assert found
    assert len(found) == len(re.findall(r"-m [\w.]+ +[^#\s]", content))


def test_a_misspelled_flag_does_not_pass(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["python", "-m", "eval.run", "--chekpoint", "x"],
        ["python", "-m", "crfrnn.data.download", "voc2011"],
    ):
        with pytest.raises(SystemExit):
            run_in_empty_folder(words, monkeypatch, capsys)


def test_exceptions_have_reasons() -> None:
    assert all({**FOREIGN, **PARSED_ALONE}.values())
