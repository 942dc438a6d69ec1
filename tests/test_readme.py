"""What the READMEs print is true: code runs, commands exist, links lead somewhere, and the front page stays short.

Each block of Python runs by itself. One that needs a download or a large network is marked "```python no-run"; its syntax
and what it imports of this package are checked alone.
"""

import ast
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READMES = ["README.md", "crfrnn/README.md", "train/README.md", "eval/README.md"]
PAGES = [*READMES, "CHANGELOG.md", ".github/CONTRIBUTING.md"]
LONGEST = 150  # lines of the front page

FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str]]:
    """The Python blocks of a page: what follows "python" in the first line, and the code."""
    return re.findall(r"^```python(.*?)\n(.*?)^```", text(page), re.DOTALL | re.MULTILINE)


def three_lines(variables: dict, output: str) -> None:
    assert variables["logits"].shape == (1, 21, 60, 80)
    assert variables["labels"].shape == (1, 60, 80)


def the_layer(variables: dict, output: str) -> None:
    assert variables["logits"].shape == (2, 4, 60, 80)
    assert variables["masks"].shape == (2, 60, 80)
    assert variables["crf"].cell.compatibility.grad is not None
    assert output.count("\n") == 11


def a_volume(variables: dict, output: str) -> None:
    assert variables["logits"].shape == (1, 3, 33, 41, 25)
    changed = variables["logits"].argmax(1) != variables["unary"].argmax(1)
    assert 0.01 < changed.float().mean() < 0.5


def points(variables: dict, output: str) -> None:
    assert variables["logits"].shape == (1, 4, 5000)


def a_loss(variables: dict, output: str) -> None:
    assert 0 < variables["alike"] < 1
    assert variables["net"].weight.grad.any()


def pydensecrf(variables: dict, output: str) -> None:
    assert variables["labels"].shape == (60, 80)


def a_mask(variables: dict, output: str) -> None:
    assert variables["mask"].shape == (60, 80)


def parameters(variables: dict, output: str) -> None:
    assert variables["crf"].num_labels == 21


# What the blocks that run have to leave behind, in the order of the page.
EXPECTED: dict[str, list[Callable[[dict, str], None]]] = {
    "README.md": [three_lines],
    "crfrnn/README.md": [a_mask, the_layer, a_volume, points, a_loss, pydensecrf, pydensecrf, parameters],
}


@pytest.mark.parametrize("page", READMES)
def test_blocks_run(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert {mark for mark, _ in blocks(page)} <= {"", " no-run"}
    runnable = [code for mark, code in blocks(page) if not mark]
    for code, check in zip(runnable, EXPECTED.get(page, []), strict=True):
        variables: dict = {}
        exec(code, variables)
        check(variables, capsys.readouterr().out)


@pytest.mark.parametrize("page", READMES)
def test_blocks_that_do_not_run_import_what_there_is(page: str) -> None:
    for code in (code for mark, code in blocks(page) if mark):
        imports = [node for node in ast.parse(code).body if isinstance(node, ast.ImportFrom)]
        own = [node for node in imports if (node.module or "").startswith("crfrnn")]
        assert own
        exec(compile(ast.Module(own, []), page, "exec"), {})


def test_the_front_page_is_short() -> None:
    assert len(text("README.md").splitlines()) <= LONGEST


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_modules_that_exist(page: str) -> None:
    modules = set(re.findall(r"\s-m\s+([a-z_][\w.]*\w)", text(page)))
    assert [module for module in sorted(modules) if not is_command(module)] == []


def is_command(module: str) -> bool:
    path = ROOT.joinpath(*module.split("."))
    if path.parts[len(ROOT.parts)] not in ("crfrnn", "eval", "train", "tests"):
        return importlib.util.find_spec(module) is not None
    file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    return file.is_file() and (
        file.name == "__main__.py" or '__name__ == "__main__"' in file.read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", text(page)))
    assert [link for link in links if not leads_somewhere(page, link)] == []


def leads_somewhere(page: str, link: str) -> bool:
    """Whether a link of a page is an address on the web, or names a file of the checkout and, after "#", a heading in it."""
    if link.startswith("https://"):
        return True
    path, _, fragment = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    return target.exists() and (not fragment or fragment in anchors(target))


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
