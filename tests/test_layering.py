"""The arrows of the house: who may import whom. Read off the source, so that nothing has to be importable."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The rooms that a folder is divided into, each a part; the files beside them are one part more, named by the folder.
ROOMS = {
    folder: {path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    for folder in ("crfrnn", "eval")
}
# The files that a folder's commands stand in have no names of their own here.
COMMANDS = {"eval": {path.stem for path in (ROOT / "eval").glob("*.py")}, "crfrnn": {"__init__"}}

# What each part may import of the project beside itself, from the lowest part to the highest.
ALLOWED = {
    "crfrnn._files": set(),
    "crfrnn._command": set(),
    "crfrnn._numbers": set(),
    "crfrnn._torchvision": set(),
    "crfrnn.parts": set(),
    "crfrnn.folders": set(),
    "crfrnn.native": {"crfrnn._files"},
    "crfrnn.gpu": set(),
    "crfrnn.lattice": {"crfrnn.native", "crfrnn.gpu"},
    "crfrnn.kernels": {"crfrnn.lattice"},
    "crfrnn.fused": {"crfrnn.kernels", "crfrnn.lattice", "crfrnn.native", "crfrnn.gpu"},
    "crfrnn.checks": {"crfrnn._numbers", "crfrnn.kernels", "crfrnn.lattice"},
    "crfrnn.state": set(),
    "crfrnn.solvers": {"crfrnn.checks", "crfrnn.fused", "crfrnn.kernels", "crfrnn.state"},
    "crfrnn.settings": {"crfrnn.kernels", "crfrnn.solvers"},
    "crfrnn.tracing": {"crfrnn.kernels", "crfrnn.settings"},
    "crfrnn.meanfield": {
        "crfrnn.kernels", "crfrnn.fused", "crfrnn.checks", "crfrnn.state", "crfrnn.settings", "crfrnn.solvers",
        "crfrnn.tracing",
    },
    "crfrnn.losses": {"crfrnn._numbers", "crfrnn.checks", "crfrnn.kernels", "crfrnn.lattice", "crfrnn.state"},
    "crfrnn.presets": {"crfrnn.kernels", "crfrnn.meanfield"},
    "crfrnn.masks": set(),
    "crfrnn.refinement": {"crfrnn._numbers", "crfrnn.kernels", "crfrnn.masks", "crfrnn.meanfield", "crfrnn.presets"},
    "crfrnn.densecrf": {"crfrnn._numbers", "crfrnn.kernels", "crfrnn.fused", "crfrnn.lattice"},
    "crfrnn.convert": {"crfrnn._numbers", "crfrnn.densecrf", "crfrnn.kernels", "crfrnn.meanfield"},
    "crfrnn.data": {
        "crfrnn._torchvision", "crfrnn._files", "crfrnn._command", "crfrnn.parts", "crfrnn.folders", "crfrnn.masks",
    },
    "crfrnn.nets": {
        "crfrnn.data", "crfrnn.convert", "crfrnn.presets", "crfrnn.kernels", "crfrnn.lattice", "crfrnn.meanfield",
        "crfrnn.state", "crfrnn._torchvision", "crfrnn._files", "crfrnn._command",
    },
    "crfrnn.weak": {"crfrnn._numbers", "crfrnn.data", "crfrnn.kernels", "crfrnn.meanfield", "crfrnn.presets"},
    "crfrnn": {"crfrnn.kernels", "crfrnn.meanfield", "crfrnn.refinement", "crfrnn.state", "crfrnn.native"},
    "eval.inputs": {"crfrnn"},
    "eval.scoring": {"crfrnn", "eval.inputs"},
    "eval.pictures": {"crfrnn", "eval.inputs", "eval.scoring"},
    "eval.published": {"crfrnn", "eval.scoring"},
    "eval.tuning": {"crfrnn", "eval.inputs", "eval.scoring", "eval.pictures", "eval.published"},
    "eval.bench": {"crfrnn", "eval.inputs", "eval.scoring", "eval.pictures"},
    "eval": {"crfrnn", "eval.inputs", "eval.scoring", "eval.pictures", "eval.published"},
    "train": {"crfrnn", "eval", "eval.inputs", "eval.scoring", "eval.pictures", "eval.tuning", "eval.published"},
}  # fmt: skip
# Above the package, all of it is one part.
ABOVE = ("eval", "train")


def part_of(module: str) -> str:
    """`crfrnn.lattice` for crfrnn.lattice.keys, `eval` for the command eval.run, `train` for train.steps.loop."""
    first, *rest = module.split(".")
    if first == "train" or not rest or rest[0] in COMMANDS[first]:
        return first
    return f"{first}.{rest[0]}"


def imported(path: Path) -> set[str]:
    """Parts of the project that a file imports; `from crfrnn import x` means the part x where there is one."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; the project imports absolutely"
            assert node.module is not None
            rooms = ROOMS.get(node.module, set())
            found |= {f"{node.module}.{name.name}" if name.name in rooms else node.module for name in node.names}
    return {part_of(module) for module in found if module.split(".")[0] in ("crfrnn", "train", "eval", "tests")}


def sources() -> list[Path]:
    return [path for folder in ("crfrnn", "train", "eval") for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    own = part_of(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    found = imported(path)
    if own.startswith(ABOVE):
        found = {"crfrnn" if part.startswith("crfrnn.") else part for part in found}
    assert found <= ALLOWED[own] | {own}


def test_every_part_has_its_arrows() -> None:
    parts = {part_of(f"{folder}.{name}") for folder, names in ROOMS.items() for name in names}
    assert parts | {"train"} == set(ALLOWED)


def test_the_arrows_have_no_circle() -> None:
    order = list(ALLOWED)
    for part, allowed in ALLOWED.items():
        assert all(order.index(other) < order.index(part) for other in allowed)


def test_one_command_does_not_read_another() -> None:
    commands = {path.stem: path for path in (ROOT / "eval").glob("*.py") if "def main(" in path.read_text()}
    for name, path in commands.items():
        modules = {n.module for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)}
        assert not modules & {f"eval.{other}" for other in commands if other != name}, path


def test_folders_and_files_stay_small() -> None:
    for path in sources():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, path
    for folder in {path.parent for path in sources()} - {ROOT / "train" / "recipes"}:
        assert len([path for path in folder.glob("*.py") if path.stem != "__init__"]) <= 16, folder
