"""Files that are damaged or of another kind: every reader says which file and why, and never what would execute it."""

import contextlib
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from crfrnn._files import claim, load_arrays, load_torch, read_json, replacing


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError), replacing(tmp_path / "a") as partial:  # noqa: PT012
        partial.mkdir()
        (partial / "b").touch()
        (partial / "b" / "c").mkdir()
    assert list(tmp_path.iterdir()) == []
    for name in "cd":
        (tmp_path / "a").mkdir(exist_ok=True)
        outcome = contextlib.nullcontext() if name == "c" else pytest.raises(OSError, match="not empty")
        with outcome, replacing(tmp_path / "a") as partial:
            partial.mkdir()
            (partial / name).touch()
        assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["a", "a/c"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"cannot be read \(Expecting value"),
        (b'{"a": 1', r"cannot be read \("),
        (b'{"a": ' + b"9" * 5000 + b"}", r"cannot be read \(Exceeds the limit"),
        (b"\xff\xfe{\0}\0", r"cannot be read \('utf-8'"),
        (b"[" * 100_000 + b"]" * 100_000, "cannot be read: its lists and objects are nested too deeply"),
    ],
)
def test_json_that_cannot_be_read(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.json {message}"):
        read_json(path)


def test_json_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"ä": 1}', encoding="utf-8-sig")
    assert read_json(tmp_path / "a.json") == {"ä": 1}
    with pytest.raises(FileNotFoundError, match=r"no file .*b\.json"):
        read_json(tmp_path / "b.json")


def npy(shape: str, kind: str = "<f8") -> bytes:
    """An .npy file that declares a shape and holds eight numbers."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(64)


@pytest.mark.parametrize(
    "content",
    [
        npy("(1000000000000,)"),
        npy("(9,)"),
        npy("(-3, 4)"),
        npy("(" * 200 + ")" * 200),
        npy("(8,)", "|O"),
        npy("(8,)")[:40],
        b"",
        b"<html>404</html>",
        pickle.dumps([1, 2]),
        b"PK\x03\x04" + bytes(100),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_arrays_that_cannot_be_read(tmp_path: Path, content: bytes, inside: bool) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    if inside:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", content)
    with pytest.raises(ValueError, match=r"a\.npz cannot be read \(.*\); wanted .*\.npz file of numbers") as caught:
        load_arrays(path)
    assert "allow_pickle" not in str(caught.value)


def test_arrays_come_back(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(3), y=np.ones((2, 2)))
    found = load_arrays(tmp_path / "a.npz")
    assert {name: array.tolist() for name, array in found.items()} == {"x": [0, 1, 2], "y": [[1, 1], [1, 1]]}
    np.save(tmp_path / "a.npy", np.arange(4))
    assert load_arrays(tmp_path / "a.npy").tolist() == [0, 1, 2, 3]
    with pytest.raises(FileNotFoundError, match=r"no file .*b\.npy"):
        load_arrays(tmp_path / "b.npy")


class Foreign:
    """What `weights_only` does not load."""


def module(path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), path)


def foreign(path: Path) -> None:
    torch.save({"a": Foreign()}, path)


def script(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("constants.pkl", "data.pkl"):
            archive.writestr(f"a/{name}", pickle.dumps({}, 2))
        archive.writestr("a/version", "3\n")


def executed(path: Path) -> None:
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")


def cut(path: Path) -> None:
    torch.save({"a": torch.zeros(50)}, path)
    path.write_bytes(path.read_bytes()[:-200])


def old_and_cut(path: Path) -> None:
    torch.save({"a": torch.zeros(50)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:300])


DAMAGE = r"it is damaged, or not a file of torch"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            module,
            r"it needs torch\.nn\.modules\.linear\.Linear, and code named in a file is not run; save tensors alone",
        ),
        (foreign, r"it needs [\w.]*test_files\.Foreign, and code"),
        (executed, r"it needs (os|posix)\.system, and code"),
        (script, r"it is a TorchScript program; save tensors alone"),
        (cut, rf"{DAMAGE} \(PytorchStreamReader failed reading zip archive: failed finding central directory\)"),
        (old_and_cut, DAMAGE),
        (lambda path: path.write_bytes(b""), DAMAGE),
        (lambda path: path.write_text("<html>404</html>"), DAMAGE),
        (lambda path: path.write_bytes(pickle.dumps({"a": 1})), DAMAGE),
        (lambda path: path.write_bytes(bytes(1000)), DAMAGE),
        (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), DAMAGE),
    ],
)
def test_files_that_torch_does_not_load(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, write: Callable[[Path], object], message: str
) -> None:
    write(tmp_path / "a.pt")
    with pytest.raises(ValueError, match=rf"a\.pt' cannot be read: {message}.*; wanted a checkpoint$") as caught:
        load_torch(tmp_path / "a.pt", "checkpoint")
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert "weights_only" not in "".join(map(str, chain))
    assert "\n" not in str(caught.value)
    assert not recwarn.list


@pytest.mark.parametrize("new", [False, True])
def test_damaged_bytes_of_torch_are_read_or_refused(tmp_path: Path, new: bool) -> None:
    path = tmp_path / "a.pt"
    torch.save({"a.weight": torch.randn(3, 4), "b": torch.arange(5)}, path, _use_new_zipfile_serialization=new)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(150):
        damaged = np.frombuffer(whole, dtype=np.uint8).copy()
        damaged[rng.integers(0, len(whole), 3)] ^= np.uint8(1) << rng.integers(0, 8, 3, dtype=np.uint8)
        path.write_bytes(damaged[: rng.integers(1, 2 * len(whole))].tobytes())
        try:
            load_torch(path, "checkpoint")
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert "weights_only" not in str(error)  # noqa: PT017
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"settings": [1]}', '{"settings"'])
def test_a_damaged_note_of_settings_is_no_traceback(tmp_path: Path, content: str) -> None:
    (tmp_path / "about.json").write_text(content)
    (tmp_path / "result.png").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"about\.json cannot be read|no about\.json that says what they were made with"
    ):
        claim(tmp_path / "about.json", {"a": 1})


def test_a_folder_of_files_without_a_note_is_refused(tmp_path: Path) -> None:
    (tmp_path / "result.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds files, and no about\.json that says .*; pass another folder as --out"):
        claim(tmp_path / "about.json", {"a": 1})
    assert not (tmp_path / "about.json").exists()


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    claim(tmp_path / "about.json", {"a": 1}, {"commit": "x"})
    assert json.loads((tmp_path / "about.json").read_text()) == {"settings": {"a": 1}, "commit": "x"}
    (tmp_path / "result.png").write_bytes(b"")
    claim(tmp_path / "about.json", {"a": 1})
    with pytest.raises(ValueError, match="holds files made with another a"):
        claim(tmp_path / "about.json", {"a": 2})
