"""The parts of PASCAL-Part (Chen et al. 2014): 20 object classes, the names in the files and their indices (pids).

Names are those of the annotation: l and r are the object's own left and right, f and b front and back, u and l (in front of
a limb) upper and lower. Parts that occur several times are numbered: wheel_1, wheel_2, ...
"""

import re
from collections.abc import Mapping, Sequence

from crfrnn.data.voc import VOC_CLASSES

Vocabulary = Mapping[str, Mapping[str, int]]


def _listed(names: str, first: int = 1) -> dict[str, int]:
    return {name: pid for pid, name in enumerate(names.split(), first)}


def _numbered(**firsts: int) -> dict[str, int]:
    """wheel=21 -> wheel_1: 21, ..., wheel_10: 30."""
    return {f"{name}_{i + 1}": first + i for name, first in firsts.items() for i in range(10)}


_CAT = _listed("head leye reye lear rear nose torso neck lfleg lfpa rfleg rfpa lbleg lbpa rbleg rbpa tail")
_COW = _listed(
    "head leye reye lear rear muzzle lhorn rhorn torso neck lfuleg lflleg rfuleg rflleg lbuleg lblleg rbuleg rblleg tail"
)
_CAR = {
    **_listed("frontside leftside rightside backside roofside leftmirror rightmirror fliplate bliplate"),
    **_numbered(door=11, wheel=21, headlight=31),
    **{f"window_{i + 1}": 41 + i for i in range(20)},
}
_COACH_SIDES = {"cfrontside": 31, "cleftside": 41, "crightside": 51, "cbackside": 61, "croofside": 71}

PASCAL_PARTS: dict[str, dict[str, int]] = {
    "aeroplane": {**_listed("body stern lwing rwing tail"), **_numbered(engine=11, wheel=21)},
    "bicycle": {**_listed("fwheel bwheel saddle handlebar chainwheel"), **_numbered(headlight=11)},
    "bird": _listed("head leye reye beak torso neck lwing rwing lleg lfoot rleg rfoot tail"),
    "boat": {},
    "bottle": _listed("cap body"),
    "bus": _CAR,
    "car": _CAR,
    "cat": _CAT,
    "chair": {},
    "cow": _COW,
    "diningtable": {},
    "dog": {**_CAT, "muzzle": 20},
    "horse": {
        **{name: pid for name, pid in _COW.items() if "horn" not in name},
        **_listed("lfho rfho lbho rbho", first=30),
    },
    "motorbike": {**_listed("fwheel bwheel handlebar saddle"), **_numbered(headlight=11)},
    "person": _listed(
        "head leye reye lear rear lebrow rebrow nose mouth hair torso neck llarm luarm lhand rlarm ruarm rhand "
        "llleg luleg lfoot rlleg ruleg rfoot"
    ),
    "pottedplant": _listed("pot plant"),
    "sheep": _COW,
    "sofa": {},
    "train": {
        **_listed("head hfrontside hleftside hrightside hbackside hroofside"),
        **_numbered(headlight=11, coach=21, **_COACH_SIDES),
    },
    "tvmonitor": _listed("screen"),
}
"""pid of every part of every object class; classes without parts are annotated by their silhouettes alone."""


def class_index(object_class: str) -> int:
    """The number of an object class as in VOC, 1..20."""
    return VOC_CLASSES.index(object_class)


def check_object_classes(names: Sequence[str], known: Vocabulary) -> None:
    """Raise ValueError where one of `names` is not a class of the vocabulary, or occurs twice."""
    for name in names:
        if name not in known:
            raise ValueError(f"there are no annotations of the class {name!r}; the classes are {', '.join(known)}")
        if names.count(name) > 1:
            raise ValueError(f"the class {name!r} was given twice; wanted each class once")


def without_number(part: str) -> str:
    """wheel_2 -> wheel."""
    return re.sub(r"_\d+$", "", part)


def mirrored(part: str, parts: Mapping[str, int]) -> str:
    """What a part is called in a mirror image: left and right swap where the class has `parts` on both sides."""
    sides = {"left": "right", "right": "left"}
    other = re.sub("left|right", lambda match: sides[match[0]], part)
    if other == part:
        other = {"l": "r", "r": "l"}.get(part[0], part[0]) + part[1:]
    return other if other in parts else part
