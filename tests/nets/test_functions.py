"""Functions that make networks are found by name, and what is missing is said."""

import sys
from pathlib import Path

import pytest

from crfrnn.nets import NetworkFunction
from tests.own_networks import tiny

CODE = "import torch\n\ndef net(num_labels):\n    return torch.nn.Conv2d(3, num_labels, 1)\n\nother = 3\n"


def test_a_function_of_a_module_or_of_a_file(tmp_path: Path) -> None:
    function = NetworkFunction("tests.own_networks:tiny")
    assert function.name == "tests.own_networks:tiny"
    assert function.load() is tiny
    (tmp_path / "mine.py").write_text(CODE)
    function = NetworkFunction(f"{tmp_path}/mine.py:net")
    assert function.name == "mine.py:net"
    assert function.make(7).out_channels == 7
    assert function.load() is NetworkFunction(f"{tmp_path}/../{tmp_path.name}/mine.py:net").load()  # once a file


def test_nothing_runs_before_a_network_is_made(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("raise SystemExit('it ran')\n")
    function = NetworkFunction(f"{tmp_path}/loud.py:net")
    assert function.name == "loud.py:net"
    with pytest.raises(SystemExit):
        function.make(3)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("net", ValueError, "the network is 'net'; wanted FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION"),
        ("a b:net", ValueError, "the network is 'a b:net'; wanted FILE"),
        (":net", ValueError, "wanted FILE"),
        ("mine.py:", ValueError, "wanted FILE"),
        ("HERE/none.py:net", FileNotFoundError, r"none\.py:net: .*there is no file .*none\.py"),
        (
            "nowhere.nets:net",
            ModuleNotFoundError,
            "there is no module nowhere; install it, or run the command in the folder",
        ),
        (
            "HERE/needy.py:net",
            ModuleNotFoundError,
            r"needy\.py:net cannot be imported: there is no module not_installed;",
        ),
        ("HERE/broken.py:net", ValueError, r"broken\.py:net cannot be imported \(SyntaxError: "),
        ("HERE/mine.py:nets", ValueError, r"mine\.py has no function nets; it has net$"),
        ("HERE/mine.py:other", ValueError, "has no function other; it has net"),
        ("HERE/bad.py:fails", ValueError, r"could not be made for 3 labels \(KeyError: 'weights'\)"),
        ("HERE/bad.py:gives", ValueError, r"bad\.py:gives gave a int; wanted a torch\.nn\.Module"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, given: str, error: type[Exception], message: str) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "needy.py").write_text("import not_installed\n")
    (tmp_path / "broken.py").write_text("def net(:\n")
    (tmp_path / "bad.py").write_text("def fails(n):\n    return {}['weights']\n\ndef gives(n):\n    return n\n")
    before = set(sys.modules)
    with pytest.raises(error, match=message) as caught:
        NetworkFunction(given.replace("HERE", str(tmp_path))).make(3)
    assert "\n" not in str(caught.value)
    assert not {"crfrnn_network_broken", "crfrnn_network_needy"} & (set(sys.modules) - before)
