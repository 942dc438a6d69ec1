"""Counts of single images: what they hold, that files give them back, and what is said of files that do not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from crfrnn.data import Sample
from eval.scoring.borders import Trimap
from eval.scoring.counts import BAND, ImageCounts, counts_path, matrices
from eval.scoring.differences import difference_text, differences, measures, of_rows
from eval.scoring.metrics import Confusion

CLASSES = ("background", "cat", "dog")


def labeled(seed: int) -> tuple[Sample, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, 3, (14, 17 + seed), generator=generator, dtype=torch.uint8)
    truth[:2, 3:6] = 255
    rows = {
        name: torch.randint(0, 3, truth.shape, generator=generator, dtype=torch.uint8) for name in ("network", "CRF")
    }
    return Sample(torch.zeros(3, *truth.shape, dtype=torch.uint8), truth, f"photo {seed}"), rows


@pytest.fixture
def counts() -> ImageCounts:
    found = ImageCounts(CLASSES)
    for seed in range(4):
        sample, rows = labeled(seed)
        found(sample, torch.zeros(0), rows)
    return found


def test_counts_are_those_of_the_image_and_of_the_band() -> None:
    sample, rows = labeled(1)
    confusion, trimap = Confusion(CLASSES), Trimap(CLASSES, [BAND])
    confusion.update(rows["CRF"], sample.labels)
    trimap.update(rows["CRF"], sample.labels)
    whole, band = matrices(rows, sample.labels, 3)["CRF"]
    assert torch.equal(whole, confusion.counts)
    areas = ImageCounts(CLASSES)
    areas.add("a", {"CRF": torch.stack([whole, band])})
    own = areas.areas("CRF", "band")
    assert dict(zip(CLASSES, (100 * own.hits / own.unions)[0], strict=True)) == pytest.approx(trimap.scores()[BAND].iou)


def test_sums_over_images_are_the_scores_of_the_set(counts: ImageCounts) -> None:
    confusion = Confusion(CLASSES)
    for seed in range(4):
        sample, rows = labeled(seed)
        confusion.update(rows["network"], sample.labels)
    areas = counts.areas("network")
    assert areas.images == tuple(f"photo {seed}" for seed in range(4))
    iou = 100 * areas.hits.sum(0) / areas.unions.sum(0)
    assert dict(zip(CLASSES, iou, strict=True)) == pytest.approx(confusion.scores().iou)


def test_a_file_gives_the_counts_back(counts: ImageCounts, tmp_path: Path) -> None:
    record = tmp_path / "new" / "scores.json"
    counts.write(record)
    assert [path.name for path in record.parent.iterdir()] == ["scores-counts.npz"]
    record.write_text("{}")
    again = ImageCounts.read(record)
    assert (again.classes, again.rows, again.images) == (counts.classes, counts.rows, counts.images)
    assert np.array_equal(again.cells(), counts.cells())
    assert of_rows(again, "network") == of_rows(counts, "network")


def test_processes_have_images_of_their_own(counts: ImageCounts) -> None:
    parts = []
    for seeds in ((3, 1), (0, 2)):
        part = ImageCounts(CLASSES)
        for seed in seeds:
            sample, rows = labeled(seed)
            part(sample, torch.zeros(0), rows if seed != 0 else dict(reversed(rows.items())))
        parts.append(part)
    joined = ImageCounts.joined(parts)
    assert sorted(joined.images) == counts.images
    assert of_rows(joined, "network").rows["CRF"].keys() == measures().keys()
    wanted, found = counts.areas("CRF", "band"), joined.areas("CRF", "band")
    order = [found.images.index(name) for name in wanted.images]
    assert np.array_equal(found.hits[order], wanted.hits)
    assert np.array_equal(found.unions[order], wanted.unions)


def test_records_without_counts_and_damaged_ones(counts: ImageCounts, tmp_path: Path) -> None:
    record = tmp_path / "scores.json"
    with pytest.raises(FileNotFoundError, match=r"there is no file .*scores\.json; wanted a record of scores"):
        ImageCounts.read(record)
    record.write_text("{}")
    with pytest.raises(
        ValueError, match=r"no counts of single images: there is no scores-counts\.npz beside it, as an"
    ):
        ImageCounts.read(record)
    counts.write(record)
    whole = dict(np.load(counts_path(record)))
    for change, message in (
        ({"cells": whole["cells"] * 9}, "a row is beyond 0..1"),
        ({"cells": whole["cells"][:, :5]}, "wanted whole numbers"),
        ({"cells": whole["cells"] / 2}, "wanted whole numbers"),
        ({"band": np.array(7)}, "a band of 7 pixels; wanted 5"),
        ({"rows": np.array(3)}, "holds no counts"),
    ):
        np.savez(counts_path(record), **{**whole, **change})
        with pytest.raises(ValueError, match=message):
            ImageCounts.read(record)
    counts_path(record).write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"scores-counts\.npz cannot be read"):
        ImageCounts.read(record)


def test_a_table_of_differences_states_its_reference(counts: ImageCounts) -> None:
    found = of_rows(counts, "network", ["cat", "dog"])
    header, *rows = found.table().header, *found.table().rows
    assert header == ["points over network", *measures(["cat", "dog"])]
    ((name, whole, *_),) = rows
    difference = found.rows["CRF"]["mean IoU"]
    assert difference is not None
    assert difference.images is not None
    low, high = difference.images
    assert (name, whole) == ("CRF", f"{difference.points:+.2f} [{low:.2f}, {high:.2f}]")
    assert json.loads(json.dumps(found.plain()))["rows"]["CRF"]["mean IoU"]["images"] == [low, high]
    assert "Student" not in difference_text([found])
    seeds = differences({"a": [(counts, "CRF")] * 2, "b": [(counts, "network")] * 2}, "b")
    assert list(seeds.table().header)[1:3] == ["mean IoU", "over\nseeds"]
    assert "Student" in difference_text([found, seeds])
    with pytest.raises(ValueError, match="there is no row 'GRF'; the rows are 'network', 'CRF'"):
        of_rows(counts, "GRF", rows=["network", "CRF"])


def test_masks_without_void_have_no_band() -> None:
    counts = ImageCounts(CLASSES)
    sample, rows = labeled(0)
    truth = torch.where(sample.labels == 255, 0, sample.labels)
    for name in "ab":
        counts.add(name, matrices(rows, truth, 3))
    assert of_rows(counts, "network").table().rows[0][-1] == "-"
