"""Folders of photographs and masks of one's own, as options of commands; `crfrnn.data.folders` reads them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folders:
    """Where photographs and masks are, and how the masks are written. Fields are flags of the commands."""

    images: Path | None = None
    """instead of --data: a folder of photographs, image files of any kind"""
    masks: Path | None = None
    """with --images: the folder of their masks, image files named like the photographs but for the extension. A pixel is a
    label (palette or gray), or a color of --colors"""
    colors: Path | None = None
    """with --images: a file with a line "R G B NAME" for each label in order, for masks painted in colors; pixels of colors
    with the NAME void do not count"""
    void: int = 255
    """with --images: the value in palette and gray masks of pixels that do not count"""
    split_seed: int = 0
    """with --images: seed of the split of the images into the lists train and val (a fifth)"""
    classes: tuple[str, ...] = ()
    """with --images: names of the labels 0, 1, ..., or one file with a name a line; by default those of --colors, or of the
    checkpoint"""
