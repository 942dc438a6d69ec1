"""Make a page on which a dense CRF can be asked why a pixel changed its label: beliefs, logits and kernels of every pixel.

python -m eval.explore IMAGE --checkpoint FILE --out page.html                  the CRF-RNN of a checkpoint
python -m eval.explore IMAGE --scores FILE.npz --truth MASK --out page.html     stored scores, and a fixed dense CRF

The page is one file that needs no network: it can be mailed, and opens in any browser of 2023 or later. Its keys are listed
at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from crfrnn._command import description, exit_code, exit_with
from crfrnn.folders import Folders
from crfrnn.presets import FixedCRF


@dataclass(frozen=True)
class Options:
    image: tyro.conf.Positional[Path]
    """the photograph"""
    checkpoint: Path | None = None
    """file of a model; where it has no CRF, its scores are followed by the dense CRF below"""
    network: str | None = None
    """the function of yours that makes the network of the checkpoint, where it is not a built-in one, as in training"""
    scores: Path | None = None
    """stored scores instead, .npy or .npz (see eval/inputs/scores_file.py), found by the name of the photograph"""
    truth: Path | None = None
    """mask of the photograph, a palette PNG"""
    data: Path | None = None
    """instead of --truth: the folders.json of a run, in whose masks that of the photograph is found by its name"""
    folders: Annotated[Folders, tyro.conf.arg(name="")] = field(default_factory=Folders)
    """likewise; --classes alone names the labels in --scores, which are otherwise those of VOC"""
    label: tuple[str, ...] = ()
    """classes to show; by default those that cover the most pixels, five at most. The others are added up as one"""
    iterations: int = 10
    """mean-field iterations T"""
    dense_crf: FixedCRF = field(default_factory=FixedCRF)
    out: Path = Path("page.html")
    """the page to write"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = tyro.cli(Options, args=argv, prog="python -m eval.explore", description=description(__doc__))
    return exit_code("eval.explore", lambda: run(options))


def run(options: Options) -> int:
    """Run mean field and write the page. Raises OSError or ValueError where the options cannot be followed."""
    from crfrnn._files import replacing
    from eval.inputs.flags import check_counts, check_fixed_crf, check_folder
    from eval.inputs.scored_photo import check_source, read_scored_photo
    from eval.pictures.explorer.content import content, words
    from eval.pictures.explorer.page import explorer_page
    from eval.scoring.metrics import check_classes

    check_source(options.checkpoint, options.scores, options.network)
    check_counts(0, iterations=options.iterations)
    check_fixed_crf("dense-crf.", options.dense_crf)
    if options.out.suffix != ".html" or options.out.is_dir():
        raise ValueError(f"--out is {str(options.out)!r}; wanted a file whose name ends in .html")
    check_folder("the folder of --out", options.out.parent)
    scored = read_scored_photo(
        options.image,
        options.dense_crf,
        checkpoint=options.checkpoint,
        network=options.network,
        scores=options.scores,
        truth=options.truth,
        data=options.data,
        folders=options.folders,
    )
    labels = list(dict.fromkeys(check_classes(options.label, scored.classes)))
    source = options.checkpoint or options.scores
    assert source is not None
    data = content(scored, options.iterations, labels)
    page = explorer_page(data, name=options.image.name, source=source.name, crf=words(scored.crf))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(options.out) as partial:
        partial.write_text(page, encoding="utf-8")
    print(f"{options.out}  {len(page) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    exit_with(main)
