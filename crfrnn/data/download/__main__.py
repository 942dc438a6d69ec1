"""Download public data sets and weights, and unpack them.

python -m crfrnn.data.download voc2012 sbd --out data
python -m crfrnn.data.download vgg16-imagenet msrc21 coco2017 --out data

An interrupted download continues when the command is run again.
"""

import argparse
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from crfrnn._command import exit_code, exit_with
from crfrnn.data.download.fetch import check_room, digest, fetch
from crfrnn.data.download.table import SOURCES, Source


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m crfrnn.data.download", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=SOURCES, metavar="NAME", help=f"one of {', '.join(SOURCES)}")
    parser.add_argument("--out", type=Path, default=Path("data"), help="folder for archives and their content (data)")
    options = parser.parse_args(argv)
    return exit_code("crfrnn.data.download", lambda: run(options.names, options.out))


def run(names: Sequence[str], out: Path) -> int:
    """Print the terms of all sets, look for room on the disk, then fetch and unpack. Raises as `fetch`."""
    sources = [SOURCES[name] for name in dict.fromkeys(names)]
    out.mkdir(parents=True, exist_ok=True)
    for name, source in zip(dict.fromkeys(names), sources, strict=True):
        print(f"{name}  about {sum(file.gigabytes for file in source.files):.2g} GB; {source.terms}", flush=True)
    check_room(out, needed(sources, out))
    for source in sources:
        get(source, out)
    return 0


def needed(sources: Sequence[Source], out: Path) -> int:
    """Bytes for the archives that are not there yet, and for as much again of their content."""
    lacking = [file for source in sources for file in source.files if not (out / file.name).exists()]
    return int(2e9 * sum(file.gigabytes for file in lacking))


def get(source: Source, out: Path) -> None:
    """Fetch and unpack the files of a set, print the checksums that nobody publishes, and say what the set is for."""
    for file in source.files:
        path = fetch(file, out)
        if file.checksum is None:
            print(f"{path}  sha256 {digest(path, 'sha256')} (no checksum is published to compare it with)")
        unpack(path, out)
    print(f"ready  {source.use.format(out=out)}")


def unpack(path: Path, out: Path) -> None:
    """Unpack an archive; other files stay as they are. Raises ValueError where it is damaged or writes outside of `out`."""
    try:
        if path.name.endswith((".tar", ".tgz", ".tar.gz")):
            shutil.unpack_archive(path, out, filter="data")
        elif path.suffix == ".zip":
            shutil.unpack_archive(path, out)
    except (shutil.ReadError, tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} cannot be unpacked ({error}); remove it and run the command again") from error


if __name__ == "__main__":
    exit_with(main)
