"""How a data set of parts of objects is opened. It loads nothing else, so that command lines can be read first."""

from dataclasses import dataclass
from typing import Literal

Merge = Literal["none", "numbers", "published", "coarse"]


@dataclass(frozen=True)
class Parts:
    """Which parts of which objects are labels, and whether images are cut around objects."""

    classes: tuple[str, ...] = ()
    """object classes whose parts are labels; where this and `objects` are empty, the data set has no parts"""
    objects: tuple[str, ...] = ()
    """object classes that are one label each"""
    merge: Merge = "published"
    """none: every annotated part; numbers: wheel_1, wheel_2, ... are one; published: left and right are one, too, as are
    the pieces of arms and legs; coarse: six parts of a person, four of an animal"""
    side: int | None = None
    """one image for each object, cut around it and resized so that the longer side of its box has this many pixels; None for
    whole images"""
    margin: float = 0.2
    """what is kept around a box, in units of its longer side"""
    smallest: int = 0
    """objects whose longer side is shorter, in pixels, get no crop"""
    given_class: bool = False
    """the class of the object in a crop is known: only its parts are possible, and whatever else is there is background"""

    def __post_init__(self) -> None:
        if (self.side is not None and self.side < 1) or not 0 <= self.margin < float("inf"):
            raise ValueError(f"got side={self.side}, margin={self.margin}; wanted pixels from 1 on, and 0 or more")
        if self.given_class and self.side is None:
            raise ValueError("given_class needs crops around objects; set side, for example 225")

    @property
    def wanted(self) -> bool:
        """Whether there is anything to label."""
        return bool(self.classes or self.objects)
