"""The arrows of the house: who may import whom. Read off the source, so that nothing has to be importable."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What each part may import of the project beside itself. A part is a top-level folder, or a module or folder of crfrnn.
ALLOWED = {
    "crfrnn.native": set(),
    "crfrnn.lattice": {"crfrnn.native"},
    "crfrnn._torchvision": set(),
    "crfrnn.data": {"crfrnn._torchvision"},
    "crfrnn.free_energy": set(),
    "crfrnn.state": {"crfrnn.free_energy"},
    "crfrnn.labels": set(),
    "crfrnn.kernels.normalizers": set(),
    "crfrnn.kernels.matrices": set(),
    "crfrnn.kernels.build": {
        "crfrnn.native",
        "crfrnn.lattice",
        "crfrnn.kernels.normalizers",
        "crfrnn.kernels.matrices",
    },
    "crfrnn.fused.operators": {"crfrnn.native", "crfrnn.lattice"},
    "crfrnn.fused.mean_field": {"crfrnn.native", "crfrnn.lattice", "crfrnn.kernels.build", "crfrnn.fused.operators"},
    "crfrnn.densecrf": {
        "crfrnn.lattice",
        "crfrnn.kernels.normalizers",
        "crfrnn.kernels.build",
        "crfrnn.fused.mean_field",
    },
    "crfrnn.checks": {"crfrnn.lattice", "crfrnn.kernels.build", "crfrnn.kernels.normalizers"},
    "crfrnn.tracing": {"crfrnn.kernels.build"},
    "crfrnn.meanfield": {
        f"crfrnn.{part}" for part in ("kernels", "normalizers", "checks", "fused", "labels", "opaque", "state")
    },
    "crfrnn.convert": {"crfrnn.densecrf", "crfrnn.kernels.build", "crfrnn.meanfield"},
    "crfrnn.nets": {"crfrnn.data", "crfrnn.kernels.build", "crfrnn.meanfield", "crfrnn._torchvision"},
    "crfrnn.weak": {"crfrnn.data", "crfrnn.kernels.build", "crfrnn.meanfield"},
    "crfrnn": {"crfrnn.kernels.build", "crfrnn.meanfield", "crfrnn.state"},
    "eval": {"crfrnn", "crfrnn.*"},
    "train": {"crfrnn", "crfrnn.*", "eval"},
}


def part_of(module: str) -> str:
    names = module.split(".")
    return ".".join(names[:2]) if names[0] == "crfrnn" else names[0]


def imported(path: Path) -> set[str]:
    """Parts of the project that a file imports; `from crfrnn import x` means the part x where there is one."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; the project imports absolutely"
            found |= {
                f"crfrnn.{alias.name}" if node.module == "crfrnn" and f"crfrnn.{alias.name}" in ALLOWED else node.module
                for alias in node.names
            }
    return {part_of(module) for module in found if module.split(".")[0] in ("crfrnn", "train", "eval", "tests")}


def sources() -> list[Path]:
    return [path for folder in ("crfrnn", "train", "eval") for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    relative = path.relative_to(ROOT).with_suffix("")
    own = "crfrnn" if relative.parts == ("crfrnn", "__init__") else part_of(".".join(relative.parts))
    allowed = ALLOWED[own] | {own}
    if "crfrnn.*" in allowed:
        allowed |= {part for part in ALLOWED if part.startswith("crfrnn.")}
    assert imported(path) <= allowed


def test_the_arrows_have_no_circle() -> None:
    order = list(ALLOWED)
    for part, allowed in ALLOWED.items():
        below = {order.index(other) for other in allowed if other in order}
        assert all(index < order.index(part) for index in below)
