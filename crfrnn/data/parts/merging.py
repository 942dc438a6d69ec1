"""Which parts count as one, from every annotated part by itself to the few labels of published results.

none: every entry of the table of parts; numbers: wheel_1, wheel_2, ... are one, left and right are two; published: the
merged classes of Tsogkas et al. 2015; coarse: six parts of a person, four of an animal, others as published.
"""

from typing import get_args

from crfrnn.data.parts.vocabulary import without_number
from crfrnn.parts import Merge


def _inverse(groups: dict[str, str]) -> dict[str, str]:
    return {part: group for group, parts in groups.items() for part in parts.split()}


_PUBLISHED = _inverse(
    {
        "wheel": "fwheel bwheel",
        "wing": "lwing rwing",
        "eye": "leye reye",
        "ear": "lear rear",
        "brow": "lebrow rebrow",
        "hand": "lhand rhand",
        "foot": "lfoot rfoot",
        "horn": "lhorn rhorn",
        "mirror": "leftmirror rightmirror",
        "arm": "luarm llarm ruarm rlarm",
        "leg": "lleg rleg luleg llleg ruleg rlleg lfleg rfleg lbleg rbleg "
        "lfuleg lflleg rfuleg rflleg lbuleg lblleg rbuleg rblleg",
        "paw": "lfpa rfpa lbpa rbpa",
        "hoof": "lfho rfho lbho rbho",
        "liplate": "fliplate bliplate",
        "vehicleside": "leftside rightside",
        "coachside": "cfrontside cleftside crightside cbackside croofside",
    }
)
_PERSON = _inverse(
    {
        "head": "eye ear brow nose mouth hair",
        "torso": "neck",
        "upper arm": "luarm ruarm",
        "lower arm": "llarm rlarm hand",
        "upper leg": "luleg ruleg",
        "lower leg": "llleg rlleg foot",
    }
)
_ANIMAL = _inverse({"head": "eye ear nose muzzle horn", "body": "torso neck", "leg": "paw hoof"})
_COARSE = {"person": _PERSON, **dict.fromkeys(("cat", "cow", "dog", "horse", "sheep"), _ANIMAL)}


def merged(object_class: str, part: str, merge: Merge) -> str:
    """The name under which `part` of an object class counts.

    Hands belong to the lower arms, feet to the lower legs and the neck to the torso where "coarse" leaves them no label.
    Raises ValueError for an unknown `merge`.
    """
    if merge not in get_args(Merge):
        raise ValueError(f"merge is {merge!r}; wanted one of {', '.join(get_args(Merge))}")
    if merge == "none":
        return part
    name = without_number(part)
    if merge == "numbers":
        return name
    published = _PUBLISHED.get(name, name)
    groups = _COARSE.get(object_class, {}) if merge == "coarse" else {}
    return groups.get(name, groups.get(published, published))
