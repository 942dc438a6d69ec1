"""Fetching one file over HTTP: continued where an earlier try ended, and checked."""

import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from crfrnn.data.download.table import File

_BLOCK = 1 << 20
_TIMEOUT = 60  # seconds without a byte


def fetch(file: File, folder: Path) -> Path:
    """The file in `folder`, fetched unless it is there; the beginning that an interrupted try left is not fetched again.

    Raises OSError where the server or the disk fails, and ValueError where what came has another checksum.
    """
    path = folder / file.name
    if path.exists():
        check(file, path)
        return path
    partial = path.with_name(f"{path.name}.part")
    try:
        _continue(file, partial)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise OSError(
            f"{file.url} could not be fetched ({error}); run the command again, which continues from the "
            f"{partial.stat().st_size if partial.exists() else 0} bytes in {partial}"
        ) from error
    try:
        check(file, partial)
    except ValueError:
        partial.unlink()
        raise
    os.replace(partial, path)
    return path


def _continue(file: File, partial: Path) -> None:
    """Append to `partial` what it lacks; where the server sends only whole files, write it anew."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(file.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is lacking, or the checksum will tell
        raise
    with response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        if total is not None:
            check_room(partial.parent, total - have)
        with (
            partial.open("ab" if resumed else "wb") as out,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=file.name, leave=None) as bar,
        ):
            while block := response.read(_BLOCK):
                out.write(block)
                bar.update(len(block))
    size = partial.stat().st_size
    if total is not None and size < total:
        raise ConnectionError(f"the connection ended after {size} of {total} bytes")


def check_room(folder: Path, wanted: int) -> None:
    """Raise OSError where the disk of `folder` has less than `wanted` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise OSError(
            f"{folder} has {free / 1e9:.1f} GB left; wanted {wanted / 1e9:.1f}: make room, or pass another folder as --out"
        )


def digest(path: Path, kind: str) -> str:
    """The checksum of a file in hexadecimal digits."""
    checksum = hashlib.new(kind)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            checksum.update(block)
    return checksum.hexdigest()


def check(file: File, path: Path) -> None:
    """Raise ValueError where a file has not the checksum that its source publishes."""
    if file.checksum is None:
        return
    kind, _, wanted = file.checksum.partition(":")
    got = digest(path, kind)
    if not got.startswith(wanted):
        raise ValueError(
            f"{path} has the {kind} {got}; wanted {wanted}: it is damaged, or the file at {file.url} has changed. Remove it "
            "and run the command again"
        )
