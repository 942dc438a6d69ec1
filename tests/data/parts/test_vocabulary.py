"""Names, indices, merges and occlusion order against entries copied by hand from the published tables."""

import pytest

from crfrnn.data import VOC_CLASSES
from crfrnn.data.parts import PASCAL_PARTS
from crfrnn.data.parts.merging import Merge, merged
from crfrnn.data.parts.occlusion import LEVELS, level
from crfrnn.data.parts.vocabulary import mirrored, without_number


def test_all_twenty_classes_have_a_table() -> None:
    assert tuple(PASCAL_PARTS) == VOC_CLASSES[1:]
    assert [name for name, parts in PASCAL_PARTS.items() if not parts] == ["boat", "chair", "diningtable", "sofa"]


@pytest.mark.parametrize(
    ("name", "count", "pids"),
    [
        ("aeroplane", 25, {"body": 1, "tail": 5, "engine_1": 11, "engine_10": 20, "wheel_1": 21, "wheel_10": 30}),
        ("bicycle", 15, {"fwheel": 1, "chainwheel": 5, "headlight_3": 13}),
        ("bird", 13, {"beak": 4, "lleg": 9, "lfoot": 10, "rleg": 11, "tail": 13}),
        ("bottle", 2, {"cap": 1, "body": 2}),
        ("bus", 59, {"bliplate": 9, "door_10": 20, "wheel_1": 21, "headlight_1": 31, "window_20": 60}),
        ("cat", 17, {"nose": 6, "rbpa": 16, "tail": 17}),
        ("cow", 19, {"muzzle": 6, "lhorn": 7, "torso": 9, "lblleg": 16, "tail": 19}),
        ("dog", 18, {"nose": 6, "tail": 17, "muzzle": 20}),
        ("horse", 21, {"muzzle": 6, "torso": 9, "tail": 19, "lfho": 30, "rbho": 33}),
        ("motorbike", 14, {"handlebar": 3, "saddle": 4, "headlight_1": 11}),
        ("person", 24, {"lebrow": 6, "mouth": 9, "hair": 10, "luarm": 14, "rlarm": 16, "llleg": 19, "rfoot": 24}),
        ("train", 76, {"hroofside": 6, "headlight_1": 11, "coach_1": 21, "cfrontside_2": 32, "croofside_10": 80}),
        ("tvmonitor", 1, {"screen": 1}),
    ],
)
def test_indices(name: str, count: int, pids: dict[str, int]) -> None:
    parts = PASCAL_PARTS[name]
    assert len(parts) == len(set(parts.values())) == count
    assert {part: parts[part] for part in pids} == pids


def test_sheep_are_cows_and_cars_are_buses() -> None:
    assert PASCAL_PARTS["sheep"] == PASCAL_PARTS["cow"]
    assert PASCAL_PARTS["car"] == PASCAL_PARTS["bus"]


@pytest.mark.parametrize(
    ("name", "part", "other"),
    [
        ("person", "lear", "rear"),
        ("person", "rlarm", "llarm"),
        ("cow", "lblleg", "rblleg"),
        ("horse", "lfho", "rfho"),
        ("car", "leftmirror", "rightmirror"),
        ("train", "hleftside", "hrightside"),
        ("train", "cleftside_7", "crightside_7"),
        ("car", "roofside", "roofside"),
        ("aeroplane", "wheel_1", "wheel_1"),
    ],
)
def test_left_and_right_change_places(name: str, part: str, other: str) -> None:
    assert mirrored(part, PASCAL_PARTS[name]) == other
    assert mirrored(other, PASCAL_PARTS[name]) == part


@pytest.mark.parametrize(
    ("name", "part", "merge", "label"),
    [
        ("car", "wheel_2", "none", "wheel_2"),
        ("car", "wheel_2", "numbers", "wheel"),
        ("car", "leftside", "numbers", "leftside"),
        ("car", "leftside", "published", "vehicleside"),
        ("car", "roofside", "published", "roofside"),
        ("car", "fliplate", "published", "liplate"),
        ("bicycle", "bwheel", "published", "wheel"),
        ("bicycle", "chainwheel", "published", "chainwheel"),
        ("train", "cbackside_4", "published", "coachside"),
        ("train", "hleftside", "published", "hleftside"),
        ("train", "coach_2", "published", "coach"),
        ("bird", "rwing", "published", "wing"),
        ("person", "rlarm", "published", "arm"),
        ("person", "lebrow", "published", "brow"),
        ("cow", "lbuleg", "published", "leg"),
        ("cat", "rbpa", "published", "paw"),
        ("horse", "lfho", "published", "hoof"),
        ("person", "hair", "coarse", "head"),
        ("person", "rear", "coarse", "head"),
        ("person", "neck", "coarse", "torso"),
        ("person", "ruarm", "coarse", "upper arm"),
        ("person", "lhand", "coarse", "lower arm"),
        ("person", "rfoot", "coarse", "lower leg"),
        ("sheep", "lhorn", "coarse", "head"),
        ("dog", "neck", "coarse", "body"),
        ("dog", "lfpa", "coarse", "leg"),
        ("horse", "lfho", "coarse", "leg"),
        ("cat", "tail", "coarse", "tail"),
        ("bird", "rwing", "coarse", "wing"),
    ],
)
def test_merges(name: str, part: str, merge: Merge, label: str) -> None:
    assert merged(name, part, merge) == label


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("aeroplane", "body stern wing tail engine wheel"),
        ("bicycle", "wheel saddle handlebar chainwheel headlight"),
        ("bird", "head eye beak torso neck wing leg foot tail"),
        ("car", "frontside vehicleside backside roofside mirror liplate door wheel headlight window"),
        ("dog", "head eye ear nose torso neck leg paw tail muzzle"),
        ("horse", "head eye ear muzzle torso neck leg tail hoof"),
        ("sheep", "head eye ear muzzle horn torso neck leg tail"),
        ("person", "head eye ear brow nose mouth hair torso neck arm hand leg foot"),
        ("train", "head hfrontside hleftside hrightside hbackside hroofside headlight coach coachside"),
    ],
)
def test_published_labels_in_full(name: str, labels: str) -> None:
    assert {merged(name, part, "published") for part in PASCAL_PARTS[name]} == set(labels.split())


@pytest.mark.parametrize(
    ("name", "below_to_above"),
    [
        ("aeroplane", "body stern lwing engine_3"),
        ("car", "roofside door_1 window_20 rightmirror"),
        ("bus", "leftside headlight_1 wheel_2"),
        ("dog", "torso rbpa muzzle"),
        ("horse", "head lbho muzzle"),
        ("sheep", "neck rhorn muzzle"),
        ("person", "head mouth hair"),
        ("motorbike", "bwheel saddle headlight_1"),
        ("train", "head hroofside coach_1"),
        ("bottle", "body cap"),
        ("pottedplant", "pot plant"),
    ],
)
def test_occlusion(name: str, below_to_above: str) -> None:
    levels = [level(name, part) for part in below_to_above.split()]
    assert levels == list(range(1, 1 + len(levels)))


def test_levels_speak_of_parts_there_are() -> None:
    # Cats and dogs, and cattle and horses, share a table.
    known = {without_number(part) for parts in PASCAL_PARTS.values() for part in parts}
    assert {part for levels in LEVELS.values() for part in levels} <= known
