"""Outlines of COCO as masks: polygons, and run lengths, compressed or not."""

import reprlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_OFFSET = 48  # of the characters of compressed run lengths: "0" stands for six zero bits
_MOST_CHARACTERS = 7  # characters that pycocotools gives one number at most
_LONGEST_OUTLINE = 1000  # times width plus height: pycocotools takes memory and time for every pixel of the way


def outline_mask(outline: Any, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels inside an outline as it stands in the file, bool [H, W].

    Everything is checked first, since pycocotools, which draws the polygons, crashes on what it does not expect. Raises
    ValueError, saying what is wrong with the outline, and ImportError where polygons meet no pycocotools (extra `coco`).
    """
    if isinstance(outline, list):
        return _inside(outline, height, width)
    if not isinstance(outline, dict) or not {"size", "counts"} <= outline.keys():
        raise ValueError(
            f"an outline {reprlib.repr(outline)}; wanted a list of polygons, or run lengths with counts and size"
        )
    if outline["size"] != [height, width]:
        raise ValueError(
            f"run lengths of size {reprlib.repr(outline['size'])}, but its image has size {[height, width]}"
        )
    return _filled(outline["counts"], height, width)


def _inside(polygons: list[Any], height: int, width: int) -> NDArray[np.bool_]:
    for polygon in polygons:
        _check_polygon(polygon, height, width)
    # With fewer than three corners it encloses no area, and pycocotools would read it as a box.
    drawn = [[float(side) for side in polygon] for polygon in polygons if len(polygon) >= 6]
    if not drawn:
        return np.zeros((height, width), dtype=bool)
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ImportError("COCO's polygons need pycocotools; pip install 'crfrnn[coco]'") from error
    return mask.decode(mask.merge(mask.frPyObjects(drawn, height, width))).astype(bool)


def _check_polygon(polygon: Any, height: int, width: int) -> None:
    if not isinstance(polygon, list) or not all(isinstance(side, (int, float)) for side in polygon):
        raise ValueError(f"a polygon {reprlib.repr(polygon)}; wanted a list of numbers x, y, x, y, ...")
    if len(polygon) % 2:
        raise ValueError(f"a polygon of {len(polygon)} numbers; wanted an even number of them: x, y, x, y, ...")
    for first, name, length in ((0, "x", width), (1, "y", height)):
        # NaN is within no limits.
        wrong = [side for side in polygon[first::2] if not -length <= side <= 2 * length]
        if wrong:
            raise ValueError(
                f"a polygon with {name} = {reprlib.repr(wrong[0])}, far outside its image of {width} x {height} "
                "(width x height); wanted pixels"
            )
    x, y = np.array(polygon, dtype=float).reshape(-1, 2).T
    around = float(np.maximum(abs(x - np.roll(x, 1)), abs(y - np.roll(y, 1))).sum())
    if around > _LONGEST_OUTLINE * (height + width):
        raise ValueError(
            f"a polygon that is {around:.0f} pixels around, in an image of {width} x {height} (width x height); wanted at "
            f"most {_LONGEST_OUTLINE} times width plus height"
        )


def _filled(counts: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Run lengths, those of zeros and ones in turn, column by column."""
    if isinstance(counts, str):
        counts = _unpacked(counts)
    if not isinstance(counts, list) or not all(isinstance(count, (int, float)) for count in counts):
        raise ValueError(f"run lengths {reprlib.repr(counts)}; wanted a list of numbers, or text")
    wrong = [count for count in counts if not (count >= 0 and count % 1 == 0)]
    if wrong:
        raise ValueError(f"a run length of {reprlib.repr(wrong[0])}; wanted whole numbers from 0 on")
    if sum(counts) != height * width:
        raise ValueError(
            f"run lengths of {reprlib.repr(sum(counts))} pixels in total, but its image has {height * width}"
        )
    runs = np.array(counts, dtype=np.int64)
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def _unpacked(text: str) -> list[int]:
    """Compressed run lengths as numbers.

    A character holds five bits of a number, lowest first, and a sixth that says whether more follow; the last of a number
    begins with its sign. From the fourth number on, each is the difference to the number two places before it.
    """
    counts: list[int] = []
    number = length = 0
    for character in text:
        bits = ord(character) - _OFFSET
        if not 0 <= bits < 64 or length == _MOST_CHARACTERS:
            raise ValueError(f"compressed run lengths {reprlib.repr(text)} with a character that cannot be where it is")
        number |= (bits & 31) << 5 * length
        length += 1
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << 5 * length
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = length = 0
    if length:
        raise ValueError(f"compressed run lengths {reprlib.repr(text)} that end within a number")
    return counts
