"""Finding a C++ compiler, and compiling once into the user's cache folder what this machine needs."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

SOURCES = Path(__file__).parent
UNITS = ("lattice.cpp", "mean_field.cpp", "dense_crf.cpp")
# Contraction would let the search for a simplex round differently from torch; see lattice_build.h.
FLAGS = ["-O3", "-std=c++17", "-fPIC", "-pthread", "-fvisibility=hidden"]
FLAGS += ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
# Added where $CRFRNN_SANITIZE is 1, for tests of the C++ itself; see .github/CONTRIBUTING.md.
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1"]
# The second choice is for compilers that do not know the processor they run on.
MACHINE_FLAGS = [["-march=native"], []]
COMPILERS = ("c++", "g++", "clang++")
# Seconds: a compiler that has not answered by then hangs.
VERSION_LIMIT, COMPILE_LIMIT = 10.0, 300.0
# Seconds after which a caller who waits is told what for.
PATIENCE = 2.0


class CompilerError(RuntimeError):
    """No compiler, or none that can compile the sources; says which were tried and what they said."""


def library_path(real: str, *, rebuild: bool = False) -> Path:
    """The shared library for numbers of type `real` ("float" or "double"), compiled if the cache holds no sound one.

    A library is sound where the checksum beside it is that of its content. With `rebuild` it is compiled in any case.
    Safe for processes that start at the same time: each compiles into a file of its own and renames it.

    Raises:
        CompilerError: it cannot be compiled, or the cache folder cannot be written to.
    """
    said = []
    flags = FLAGS + (SANITIZERS if os.environ.get("CRFRNN_SANITIZE") == "1" else [])
    for compiler in _compilers():
        version = _output([*compiler, "--version"])
        if version is None:
            continue
        for machine_flags in MACHINE_FLAGS:
            command = [*compiler, *flags, *machine_flags, f"-DREAL={real}"]
            path = cache_folder() / f"{real}-{_fingerprint(command, version)}{_suffix()}"
            if not rebuild and _sound(path):
                return path
            error = _compile(command, path)
            if error is None:
                return path
            said.append(f"{shlex.join(command)}: {error.strip().splitlines()[-1] if error.strip() else 'failed'}")
            if error == _TOO_LONG:
                break
    if not said:
        raise CompilerError(f"no C++ compiler found among $CXX, {', '.join(COMPILERS)}")
    raise CompilerError("; ".join(said))


def cache_folder() -> Path:
    """Where libraries are kept: $CRFRNN_CACHE, or crfrnn in the cache folder that is customary on the system.

    Raises:
        CompilerError: the user has no home folder.
    """
    if chosen := os.environ.get("CRFRNN_CACHE"):
        return Path(chosen)
    try:
        return _customary_cache() / "crfrnn"
    except RuntimeError as error:
        raise CompilerError(f"no folder to keep libraries in: {error} Name one in $CRFRNN_CACHE") from error


def _customary_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _compilers() -> list[list[str]]:
    """The commands to try: what $CXX names first, then those of COMPILERS that there are."""
    text = os.environ.get("CXX", "")
    try:
        named = [shlex.split(text)] if text.strip() else []
    except ValueError as error:
        raise CompilerError(f"$CXX is {text!r} ({error}); wanted the command of a compiler, as 'g++ -m64'") from error
    return [each for each in [*named, *([name] for name in COMPILERS)] if shutil.which(each[0])]


def _suffix() -> str:
    return ".dll" if sys.platform == "win32" else ".so"


def _fingerprint(command: list[str], version: str) -> str:
    """Changes with the sources, the flags, the compiler and the processor, as cache folders are shared by machines."""
    digest = hashlib.sha256()
    for path in sorted([*SOURCES.glob("*.h"), *SOURCES.glob("*.cpp")]):
        digest.update(path.read_bytes())
    for text in (*command, version, platform.machine(), _processor()):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:20]


def _processor() -> str:
    """What `-march=native` may depend on."""
    if sys.platform == "darwin":
        return _output(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        kinds = ("model name", "flags", "Features", "CPU part")
        return "".join(sorted({line for line in info.read_text().splitlines() if line.startswith(kinds)}))
    return platform.processor()


def _checksum_path(library: Path) -> Path:
    return library.with_name(library.name + ".sha256")


def _checksum(library: Path) -> str:
    return hashlib.sha256(library.read_bytes()).hexdigest()


def _sound(library: Path) -> bool:
    """Whether the file is whole: loading a damaged library can kill the process."""
    try:
        return _checksum_path(library).read_text(encoding="ascii") == _checksum(library)
    except (OSError, UnicodeDecodeError):  # missing, or not what was written there
        return False


def _publish(made: Path, path: Path) -> None:
    """Put a compiled library under its name and its checksum beside it, on the disk before they are seen."""
    checksum = made.with_name("checksum")
    checksum.write_text(_checksum(made), encoding="ascii")
    for source, target in ((checksum, _checksum_path(path)), (made, path)):
        with source.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(source, target)


def _compile(command: list[str], path: Path) -> str | None:
    """Compile all units side by side and link them into `path`; returns what the compiler said where it failed."""
    notice = threading.Timer(PATIENCE, logging.getLogger(__name__).warning, [_NOTICE, path.parent])
    notice.daemon = True
    notice.start()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as name:
            folder = Path(name)
            objects = [str(folder / f"{unit}.o") for unit in UNITS]
            running = [
                _start([*command, "-c", str(SOURCES / unit), "-o", target])
                for unit, target in zip(UNITS, objects, strict=True)
            ]
            failed = [said for said in map(_finish, running) if said is not None]
            if failed:
                return failed[0]
            said = _finish(_start([*command, "-shared", *objects, "-o", str(folder / path.name)]))
            if said is None:
                _publish(folder / path.name, path)
            return said
    except OSError as error:
        raise CompilerError(f"cannot write to {path.parent}: {error}; name another folder in $CRFRNN_CACHE") from error
    finally:
        notice.cancel()


_NOTICE = "compiling the CPU code of crfrnn, once for this machine, into %s"
_TOO_LONG = "the compiler did not end in time"


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
    )


def _finish(process: subprocess.Popen[str]) -> str | None:
    """None where the process succeeded, else what it said."""
    try:
        _, said = process.communicate(timeout=COMPILE_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        if process.stderr is not None:  # what the compiler itself has started may still hold the other end
            process.stderr.close()
        return _TOO_LONG
    return None if process.returncode == 0 else said or f"exit code {process.returncode}"


def _output(command: list[str]) -> str | None:
    """What a command prints; None where it fails, or does not end in time."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=VERSION_LIMIT
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
