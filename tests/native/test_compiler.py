"""Finding a compiler, compiling once, and saying what went wrong. A script stands in for the compiler where it can."""

import ctypes
import logging
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from crfrnn import native
from crfrnn.lattice import Lattice
from crfrnn.native import compiler
from tests.lattice.conftest import build_in_torch

# Answers as a compiler does; what it "compiles" is an empty file. Writes a line to $LOG for each command.
STAND_IN = """#!/bin/sh
case "$*" in *--version) echo "stand-in 1.0"; exit 0;; esac
echo "$*" >> "$LOG"
{before}
while [ "$1" != "-o" ]; do shift; done
: > "$2"
"""


class StandIn:
    """A script in the place of the compiler, alone in its folder, with an empty cache."""

    def __init__(self, folder: Path) -> None:
        self.program, self.log, self.cache = folder / "bin" / "c++", folder / "log", folder / "cache"
        self.program.parent.mkdir()
        self.write()

    def write(self, before: str = "", version: str = "1.0") -> None:
        self.program.write_text(STAND_IN.format(before=before).replace("1.0", version))
        self.program.chmod(0o755)

    def commands(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn(tmp_path)
    monkeypatch.setenv("PATH", str(made.program.parent))
    monkeypatch.setenv("CRFRNN_CACHE", str(made.cache))
    monkeypatch.setenv("LOG", str(made.log))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CRFRNN_NATIVE", raising=False)
    monkeypatch.setattr(native, "_libraries", {})
    return made


def test_what_is_in_the_cache_is_not_compiled_again(stand_in: StandIn) -> None:
    path = compiler.library_path("float")
    assert path.parent == stand_in.cache
    commands = stand_in.commands()
    assert len(commands) == len(compiler.UNITS) + 1
    assert all("-DREAL=float" in command for command in commands)
    assert compiler.library_path("float") == path
    assert stand_in.commands() == commands
    assert sorted(stand_in.cache.iterdir()) == [path, path.with_name(path.name + ".sha256")]


def test_the_name_changes_with_all_that_is_compiled(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = [compiler.library_path("float").name, compiler.library_path("double").name.replace("double", "float")]
    stand_in.write(version="2.0")
    names.append(compiler.library_path("float").name)
    monkeypatch.setattr(compiler, "FLAGS", [*compiler.FLAGS, "-g"])
    names.append(compiler.library_path("float").name)
    monkeypatch.setattr(compiler, "_processor", lambda: "another processor")
    names.append(compiler.library_path("float").name)
    sources = tmp_path / "sources"
    shutil.copytree(compiler.SOURCES, sources)
    monkeypatch.setattr(compiler, "SOURCES", sources)
    assert compiler.library_path("float").name == names[-1]
    for source in ("vectors.h", "lattice.cpp"):
        with (sources / source).open("a") as file:
            file.write("// changed\n")
        names.append(compiler.library_path("float").name)
    assert len(set(names)) == len(names) == 7


def library_name(results: "multiprocessing.SimpleQueue[str]") -> None:
    results.put(compiler.library_path("float").name)


def test_two_processes_that_compile_at_once(stand_in: StandIn, tmp_path: Path) -> None:
    """Neither links before the other has come as far."""
    arrived = tmp_path / "arrived"
    arrived.mkdir()
    stand_in.write(
        f'case "$*" in *-shared*) : > {arrived}/$$; set -- {arrived}/* "$@"\n'
        f'while [ "$(echo {arrived}/* | wc -w)" -lt 2 ]; do :; done;; esac'
    )
    os.symlink(shutil.which("wc", path="/usr/bin:/bin"), stand_in.program.parent / "wc")
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    processes = [context.Process(target=library_name, args=(results,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    name = results.get()
    assert results.get() == name
    assert sorted(path.name for path in stand_in.cache.iterdir()) == [name, name + ".sha256"]
    assert len(stand_in.commands()) == 2 * (len(compiler.UNITS) + 1)


def assert_falls_back(match: str) -> None:
    """One warning for a type of numbers, right results, and no second warning."""
    features, values = torch.randn(1, 30, 3, dtype=torch.float64), torch.randn(1, 30, 2, dtype=torch.float64)
    with pytest.warns(UserWarning, match=r"(?s)plain torch.*CRFRNN_NATIVE=0") as caught:
        out = Lattice.build(features).filter(values)
    assert len(caught) == 1
    assert match in str(caught[0].message)
    assert torch.equal(out, build_in_torch(features).filter(values))
    assert torch.equal(Lattice.build(features).filter(values), out)


def test_without_a_compiler(stand_in: StandIn) -> None:
    stand_in.program.unlink()
    assert_falls_back("no C++ compiler found among $CXX, c++, g++, clang++")


def test_a_compiler_that_does_not_run_is_passed_over(stand_in: StandIn) -> None:
    stand_in.program.write_text("#!/bin/sh\nexit 1\n")
    assert_falls_back("no C++ compiler found")


def test_a_compiler_that_fails_is_quoted(stand_in: StandIn) -> None:
    stand_in.write(before='echo "error: too old" >&2; exit 1')
    assert_falls_back("error: too old")
    assert list(stand_in.cache.iterdir()) == []


def test_a_linker_that_fails_is_quoted(stand_in: StandIn) -> None:
    stand_in.write(before='case "$*" in *-shared*) echo "cannot find -lstdc++" >&2; exit 1;; esac')
    assert_falls_back("cannot find -lstdc++")


def test_a_library_that_does_not_load(stand_in: StandIn) -> None:
    """The stand-in makes empty files, as a full disk may."""
    assert_falls_back("file too short")


@pytest.mark.parametrize("damage", [b"", b"\0" * 4096, b"\x7fELF of another program"])
def test_a_damaged_library_is_compiled_again(stand_in: StandIn, damage: bytes) -> None:
    path = compiler.library_path("float")
    whole, once = path.read_bytes(), len(stand_in.commands())
    path.write_bytes(whole + b"cut off" if damage == whole else damage)
    assert compiler.library_path("float") == path
    assert path.read_bytes() == whole
    assert len(stand_in.commands()) == 2 * once


def test_a_sound_library_that_does_not_load_is_compiled_once_more(stand_in: StandIn) -> None:
    assert_falls_back("file too short")
    assert len(stand_in.commands()) == 2 * (len(compiler.UNITS) + 1)


def test_a_compiler_that_hangs_is_left(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "COMPILE_LIMIT", 0.2)
    stand_in.write(before="while :; do :; done")
    assert_falls_back("the compiler did not end in time")


def test_a_compiler_that_hangs_when_asked_for_its_version(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "VERSION_LIMIT", 0.2)
    stand_in.program.write_text("#!/bin/sh\nwhile :; do :; done\n")
    assert_falls_back("no C++ compiler found")


def test_a_named_compiler_of_blanks_is_none(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", " ")
    assert compiler.library_path("float").exists()


def test_a_named_compiler_that_is_no_command(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "c++ 'x")
    assert_falls_back("wanted the command of a compiler")


def test_a_compiler_that_speaks_another_encoding(stand_in: StandIn) -> None:
    stand_in.write(before="printf 'error: \\351t\\351' >&2; exit 1")
    assert_falls_back("error: \ufffdt\ufffd")


def test_a_long_compilation_is_announced(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiler, "PATIENCE", 0.0)
    announced = stand_in.cache.parent / "announced"

    class Noted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            announced.write_text(record.getMessage())

    monkeypatch.setattr(logging.getLogger(compiler.__name__), "handlers", [Noted()])
    stand_in.write(before=f"until [ -s {announced} ]; do :; done")
    compiler.library_path("float")
    assert "compiling the CPU code of crfrnn" in caplog.text


def test_a_cache_that_cannot_be_written(stand_in: StandIn) -> None:
    stand_in.cache.write_text("a file where the folder should be")
    assert_falls_back("name another folder in $CRFRNN_CACHE")


def test_no_home_to_keep_a_cache_in(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run as a user without an account."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("CRFRNN_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert_falls_back("$CRFRNN_CACHE")


def test_the_named_compiler_comes_first(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    named = shutil.copy(stand_in.program, stand_in.program.parent / "named")
    monkeypatch.setenv("CXX", f"{named} --option")
    compiler.library_path("float")
    assert all(command.startswith("--option ") for command in stand_in.commands())


def test_without_flags_for_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that does not know the processor: the next flags are taken, and compute the same. Really compiles."""
    real = shutil.which("c++")
    picky = tmp_path / "picky"
    picky.write_text(
        f'#!/bin/sh\ncase "$*" in *-march=native*) echo unknown processor >&2; exit 1;; esac\n{real} "$@"\n'
    )
    picky.chmod(0o755)
    monkeypatch.setenv("CXX", str(picky))
    monkeypatch.setenv("CRFRNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiler, "COMPILERS", ())
    monkeypatch.setattr(compiler, "FLAGS", ["-O1", *compiler.FLAGS[1:]])  # compiles in half the time
    path = compiler.library_path("float")
    assert compiler.library_path("float") == path
    loaded = ctypes.CDLL(str(path))
    loaded.native_build.restype = ctypes.c_void_p
    monkeypatch.setattr(native, "_libraries", {torch.float32: loaded})
    features, values = torch.randn(2, 60, 5), torch.randn(2, 60, 9)
    wanted = build_in_torch(features).filter(values)
    torch.testing.assert_close(Lattice.build(features).filter(values), wanted, rtol=0, atol=1e-5)


def test_import_compiles_nothing(tmp_path: Path) -> None:
    code = "import sys, crfrnn, crfrnn.densecrf, crfrnn.native; sys.exit(len(crfrnn.native._libraries))"
    environment = {**os.environ, "CRFRNN_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=Path(native.__file__).parents[2])
    assert list(tmp_path.iterdir()) == []
