"""Which part is on top where two parts of an object overlap: that of the higher level (Tsogkas et al. 2015).

A dog's muzzle thus covers its nose, which the annotation draws inside it.
"""

from crfrnn.data.parts.vocabulary import without_number


def _levels(**parts_of: str) -> dict[str, int]:
    """second="a b" -> a: 2, b: 2; whatever is not named has level 1."""
    numbers = {"second": 2, "third": 3, "fourth": 4}
    return {part: numbers[level] for level, parts in parts_of.items() for part in parts.split()}


_CYCLE = _levels(second="saddle handlebar chainwheel", third="headlight")
_CAR = _levels(second="door fliplate bliplate headlight", third="wheel window", fourth="leftmirror rightmirror")
_PET = _levels(second="leye reye lear rear nose lfpa rfpa lbpa rbpa", third="muzzle")
_CATTLE = _levels(second="leye reye lear rear lhorn rhorn lfho rfho lbho rbho", third="muzzle")

LEVELS = {
    "aeroplane": _levels(second="stern tail", third="lwing rwing", fourth="engine wheel"),
    "bicycle": _CYCLE,
    "bird": _levels(second="neck leye reye beak", third="lwing rwing"),
    "bottle": _levels(second="cap"),
    "bus": _CAR,
    "car": _CAR,
    "cat": _PET,
    "cow": _CATTLE,
    "dog": _PET,
    "horse": _CATTLE,
    "motorbike": _CYCLE,
    "person": _levels(second="leye reye lear rear lebrow rebrow nose mouth lhand rhand lfoot rfoot", third="hair"),
    "pottedplant": _levels(second="plant"),
    "sheep": _CATTLE,
    "train": _levels(
        second="hfrontside hleftside hrightside hbackside hroofside cfrontside cleftside crightside cbackside croofside",
        third="coach headlight",
    ),
}


def level(object_class: str, part: str) -> int:
    """1 for the lowest parts, up to 4; numbered parts of a kind are on one level."""
    return LEVELS.get(object_class, {}).get(without_number(part), 1)
