"""Downloads from a server on this machine, interrupted and continued."""

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from crfrnn.data.download import fetch as fetching
from crfrnn.data.download.__main__ import main
from crfrnn.data.download.table import SOURCES, File, Source


class Server(ThreadingHTTPServer):
    """Serves `content` at every address, in the first reply only `cut` bytes of it; notes the ranges it is asked for."""

    content: bytes
    cut: int | None = None
    knows_ranges = True
    asked: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        begin = int(wanted[len("bytes=") : -1]) if wanted and self.server.knows_ranges else 0
        body = self.server.content[begin:]
        if begin and not body:
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut])
        self.server.cut = None

    def log_message(self, *_: object) -> None:
        pass


def archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("VOCdevkit/note.txt")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
    return packed.getvalue()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.content, made.asked = archive(), []
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def offer(monkeypatch: pytest.MonkeyPatch, server: Server, checksum: str | None) -> None:
    """Make the server's file the data set voc2012."""
    file = File(f"http://127.0.0.1:{server.server_port}/set.tar", checksum, 1e-5)
    monkeypatch.setitem(SOURCES, "voc2012", Source((file,), "for research", "--data {out}/VOCdevkit"))


@pytest.fixture
def md5(server: Server) -> str:
    return f"md5:{hashlib.md5(server.content).hexdigest()}"


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_an_interrupted_download_continues(
    server: Server,
    md5: str,
    knows_ranges: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    offer(monkeypatch, server, md5)
    server.cut, server.knows_ranges = 700, knows_ranges
    argv = ["voc2012", "--out", str(tmp_path)]
    assert main(argv) == 2
    seen = capsys.readouterr()
    assert "for research" in seen.out
    assert "continues from the 700 bytes" in seen.err
    assert not (tmp_path / "set.tar").exists()
    assert main(argv) == 0
    assert server.asked == [None, "bytes=700-"]
    assert (tmp_path / "set.tar").read_bytes() == server.content
    assert (tmp_path / "VOCdevkit" / "note.txt").read_text() == "hello"
    assert f"--data {tmp_path}/VOCdevkit" in capsys.readouterr().out
    assert main(argv) == 0
    assert len(server.asked) == 2  # what is there is not fetched again


def test_all_bytes_were_there_but_for_the_name(
    server: Server, md5: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, server, md5)
    (tmp_path / "set.tar.part").write_bytes(server.content)
    assert main(["voc2012", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "set.tar").read_bytes() == server.content


def test_another_checksum_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, server, "md5:0123")
    assert main(["voc2012", "--out", str(tmp_path)]) == 2
    assert "wanted 0123" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_published_checksum_gets_one_printed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, server, None)
    assert main(["voc2012", "--out", str(tmp_path)]) == 0
    assert hashlib.sha256(server.content).hexdigest() in capsys.readouterr().out


def test_a_damaged_archive_is_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.content = b"not an archive"
    offer(monkeypatch, server, None)
    assert main(["voc2012", "--out", str(tmp_path)]) == 2
    assert "cannot be unpacked" in capsys.readouterr().err


def test_a_full_disk_is_told_before_anything_is_fetched(
    server: Server, md5: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, server, md5)
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda folder: usage)
    assert main(["voc2012", "--out", str(tmp_path)]) == 2
    assert "make room" in capsys.readouterr().err
    assert server.asked == []
