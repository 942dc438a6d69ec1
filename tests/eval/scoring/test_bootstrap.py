"""Paired differences of mean IoU and their intervals, against a table done by hand and a loop over draws."""

import numpy as np
import pytest
import torch
from scipy.stats import t

from eval.scoring.bootstrap import STUDENT, mean_iou, over_seeds, paired_difference
from eval.scoring.counts import Areas
from eval.scoring.metrics import scores_of

CLASSES = ("background", "cat", "dog")


def counted(confusions: np.ndarray, images: tuple[str, ...] | None = None) -> Areas:
    """Areas of confusion matrices [N, L, L], straight from their definition."""
    names = images or tuple(f"image{i}" for i in range(len(confusions)))
    hits = np.diagonal(confusions, axis1=1, axis2=2).astype(float)
    truths, predictions = confusions.sum(2).astype(float), confusions.sum(1).astype(float)
    return Areas(names, CLASSES[: confusions.shape[1]], hits, truths + predictions - hits, truths)


def labelings(images: int, systems: int, labels: int = 3, absent: float = 0.0) -> list[np.ndarray]:
    """Confusion matrices [N, L, L] of several systems over one truth; a class lacks in some images."""
    random = np.random.default_rng(images)
    truths = random.integers(1, 60, (images, labels)) * (random.random((images, labels)) >= absent)
    shares = [random.dirichlet(np.ones(labels), labels) for _ in range(systems)]
    return [
        np.stack([[random.multinomial(own[i], share[i]) for i in range(labels)] for own in truths]) for share in shares
    ]


def brute_force(system: np.ndarray, reference: np.ndarray, resamples: int, seed: int) -> list[float]:
    """Differences of mean IoU over draws of images, one by one, by summed confusion matrices."""
    count = len(system)
    found = []
    for draw in np.random.default_rng(seed).multinomial(count, [1 / count] * count, size=resamples):
        both = []
        for matrices in (system, reference):
            total = sum(times * matrix for times, matrix in zip(draw, matrices, strict=True))
            iou = [
                total[i, i] / (total[i].sum() + total[:, i].sum() - total[i, i])
                for i in range(len(total))
                if total[i].sum() > 0
            ]
            both.append(100 * sum(iou) / len(iou) if iou else np.nan)
        found.append(both[0] - both[1])
    return found


def test_two_images_by_hand() -> None:
    """Of two images there are three draws: a twice (a quarter of the draws), both (half), b twice (a quarter)."""
    #            a: 8 of 10 and 10 of 10 right     b: all 10 and 10 right
    ours = np.array([[[8, 2], [0, 10]], [[10, 0], [0, 10]]])
    theirs = np.array([[[10, 0], [0, 10]], [[10, 0], [0, 10]]])
    # a: IoU 8/10 and 10/12; a and b: 18/20 and 20/22; against 100 each.
    a, both = 50 * (8 / 10 + 10 / 12) - 100, 50 * (18 / 20 + 20 / 22) - 100
    difference = paired_difference([counted(ours)], [counted(theirs)])
    assert difference is not None
    assert difference.points == pytest.approx(both)
    assert difference.images == pytest.approx((a, 0.0))
    assert not difference.sure  # the interval holds 0
    assert (difference.seeds, difference.deviation) == (None, None)
    of_cat = paired_difference([counted(ours)], [counted(theirs)], ["cat"])
    assert of_cat is not None
    assert of_cat.images == pytest.approx((100 * 10 / 12 - 100, 0.0))


@pytest.mark.parametrize("absent", [0.0, 0.8])
def test_intervals_are_those_of_a_loop_over_draws(absent: float) -> None:
    """With many absences, a class is missing in some draws, and all classes in some."""
    system, reference = labelings(6, 2, absent=absent)
    wanted = brute_force(system, reference, 300, seed=5)
    found = paired_difference([counted(system)], [counted(reference)], resamples=300, seed=5)
    assert found is not None
    total = [float(scores_of(torch.from_numpy(each.sum(0)), CLASSES).mean_iou) for each in (system, reference)]
    assert found.points == pytest.approx(total[0] - total[1])
    kept = [value for value in wanted if not np.isnan(value)]
    assert (len(kept) < 300) == (absent > 0)
    assert found.images == pytest.approx(tuple(np.quantile(kept, [0.025, 0.975])))


def test_identical_systems_differ_by_exactly_nothing() -> None:
    (system,) = labelings(7, 1)
    difference = paired_difference([counted(system)], [counted(system.copy())])
    assert difference is not None
    assert (difference.points, difference.images) == (0.0, (0.0, 0.0))
    assert not difference.sure


def test_a_difference_in_every_image_is_sure() -> None:
    reference = np.stack([np.array([[50, 50], [50, 50]])] * 5)
    system = np.stack([np.array([[90, 10], [10, 90]])] * 5)
    difference = paired_difference([counted(system)], [counted(reference)])
    assert difference is not None
    assert difference.points == pytest.approx(100 * 90 / 110 - 100 * 50 / 150)
    assert difference.sure


def test_one_image_has_no_interval() -> None:
    system, reference = labelings(1, 2)
    difference = paired_difference([counted(system)], [counted(reference)])
    assert difference is not None
    assert difference.points != 0
    assert difference.images is None
    assert not difference.sure


def test_a_class_that_is_nowhere() -> None:
    system, reference = labelings(4, 2)
    for each in (system, reference):
        each[:, 2] = 0  # nothing is a dog, some pixels are called one
    assert paired_difference([counted(system)], [counted(reference)], ["dog"]) is None
    assert mean_iou(counted(system), ["dog"]) is None
    pair = [
        paired_difference([counted(system)], [counted(reference)], names) for names in (None, ["background", "cat"])
    ]
    assert pair[0] == pair[1]


def test_images_are_found_by_name() -> None:
    system, reference = labelings(5, 2)
    names = tuple("abcde")
    turned = counted(system[::-1], names[::-1])
    wanted = paired_difference([counted(system, names)], [counted(reference, names)])
    assert paired_difference([turned], [counted(reference, names)]) == wanted


def test_what_cannot_be_paired() -> None:
    system, reference = labelings(4, 2)
    other = counted(reference, tuple("abcd"))
    for images, message in (("abce", "the reference lacks 1, such as 'e'"), ("abc", "the system lacks 1, such as 'd'")):
        with pytest.raises(ValueError, match=rf"the images differ: {message};.* score both on one list"):
            paired_difference([counted(system[: len(images)], tuple(images))], [other])
    changed = system.copy()
    changed[2, 0, 0] += 1
    with pytest.raises(
        ValueError, match="the truth differs in 1 of 4 images, as in 'c'; wanted scores against the same"
    ):
        paired_difference([counted(changed, tuple("abcd"))], [other])
    with pytest.raises(ValueError, match="the classes differ: background, cat against background, cat, dog"):
        paired_difference([counted(system[:, :2, :2], tuple("abcd"))], [other])
    with pytest.raises(ValueError, match="there is no class 'fish'"):
        paired_difference([other], [other], ["fish"])
    with pytest.raises(ValueError, match="a system has no runs"):
        paired_difference([], [other])


def test_runs_of_several_seeds_share_their_draws() -> None:
    first, second, third, reference = labelings(6, 4)
    found = paired_difference(
        [counted(first), counted(second)], [counted(third), counted(reference)], resamples=200, seed=3
    )
    assert found is not None
    draws = [brute_force(a, b, 200, seed=3) for a, b in ((first, third), (second, reference))]
    assert found.images == pytest.approx(tuple(np.quantile(np.mean(draws, 0), [0.025, 0.975])))
    pairs = [
        mean_iou(counted(a)) - mean_iou(counted(b))  # type: ignore[operator]
        for a, b in ((first, third), (second, reference))
    ]
    deviation = abs(pairs[0] - pairs[1]) / 2**0.5
    assert found.points == pytest.approx(np.mean(pairs))
    assert found.deviation == pytest.approx(deviation)
    reach = 12.706 * deviation / 2**0.5
    assert found.seeds == pytest.approx((np.mean(pairs) - reach, np.mean(pairs) + reach), rel=1e-4)


def test_intervals_over_seeds_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, deviation 1, t of 2 degrees of freedom 4.303."""
    interval, deviation = over_seeds([11.0, 12.0, 13.0], [10.0, 10.0, 10.0])
    assert interval == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5))
    assert deviation == pytest.approx(1.0)
    # The one run varies as the three do: variances of the means 1/3 and 1.
    for pair in (([11.0, 12.0, 13.0], [10.0]), ([14.0], [11.0, 12.0, 13.0])):
        interval, deviation = over_seeds(*pair)
        assert interval == pytest.approx((2 - 4.303 * (4 / 3) ** 0.5, 2 + 4.303 * (4 / 3) ** 0.5))
        assert deviation is None
    # Welch: variances of the means 1/3 and 2/2, freedom (4/3)^2 / ((1/3)^2/2 + 1) = 1.68, of which 1 is taken
    interval, _ = over_seeds([11.0, 12.0, 13.0], [9.0, 11.0])
    assert interval == pytest.approx((2 - 12.706 * (4 / 3) ** 0.5, 2 + 12.706 * (4 / 3) ** 0.5))
    assert over_seeds([1.0, 1.0], [2.0, 2.0, 2.0])[0] == (-1.0, -1.0)
    assert over_seeds([1.0], [2.0]) == (None, None)


@pytest.mark.parametrize("runs", [(3, 1), (1, 5), (4, 4)])
def test_intervals_over_seeds_hold_the_truth_19_times_in_20(runs: tuple[int, int]) -> None:
    """Both sides drawn from one distribution, 4,000 times: the difference of their means is 0."""
    random = np.random.default_rng(0)
    drawn = [[random.normal(70, 1, n).tolist() for n in runs] for _ in range(4000)]
    intervals = [over_seeds(*sides)[0] for sides in drawn]
    held = np.mean([low <= 0 <= high for low, high in intervals])  # type: ignore[misc]
    assert held == pytest.approx(0.95, abs=0.015)


def test_students_t() -> None:
    assert t.ppf(0.975, range(1, 31)) == pytest.approx(STUDENT, abs=6e-4)


def test_seeds_that_disagree_are_not_sure() -> None:
    good, bad, reference = (np.stack([np.array([[n, 100 - n], [100 - n, n]])] * 4) for n in (99, 62, 60))
    difference = paired_difference([counted(good), counted(bad)], [counted(reference)] * 2)
    assert difference is not None
    assert difference.images is not None
    assert difference.images[0] > 0
    assert not difference.sure
