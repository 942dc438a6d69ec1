"""What every row of a table has over a reference: paired differences of mean IoU with their intervals, as a table."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eval.scoring.bootstrap import Difference, Interval, paired_difference
from eval.scoring.counts import BAND, REGIONS, ImageCounts
from eval.scoring.metrics import check_classes
from eval.scoring.tables import MISSING, Table

Runs = Sequence[tuple[ImageCounts, str]]
"""The runs of a system: the counts of each, and its row there"""
NOTE = (
    "[ ]: 95 % interval over repeated draws of the images, the same for both rows. A difference whose interval holds 0 "
    "is neither a gain nor a loss. Means are over the classes that the truth holds."
)
OF_SEEDS = (
    "Over seeds: 95 % interval by Student's t; where both have as many runs, they are paired in their order; a single run "
    "beside several is taken to vary as they do."
)


@dataclass(frozen=True)
class Differences:
    """Differences of several rows from one reference.

    Attributes:
        reference: name of the reference.
        rows: by row and measure; None where nothing of the measure was counted.
    """

    reference: str
    rows: Mapping[str, Mapping[str, Difference | None]]

    @property
    def of_seeds(self) -> bool:
        """Whether there are intervals over seeds."""
        every = [difference for row in self.rows.values() for difference in row.values()]
        return any(difference is not None and difference.seeds is not None for difference in every)

    def table(self) -> Table:
        """A line per row: points, with the interval over images, and over seeds where there are several runs."""
        measures = list(next(iter(self.rows.values()), {}))
        of_seeds = self.of_seeds
        header = [textwrap.fill(f"points over {self.reference}", 36, break_long_words=False)]
        for measure in measures:
            header += [measure, "over\nseeds"] if of_seeds else [measure]
        lines = []
        for name, row in self.rows.items():
            cells = [name]
            for difference in row.values():
                cells += [show(difference), show_seeds(difference)] if of_seeds else [show(difference)]
            lines.append(cells)
        return Table(header, lines)

    def plain(self) -> dict[str, Any]:
        """For a JSON file."""
        return {
            "reference": self.reference,
            "rows": {
                name: {
                    measure: None if each is None else asdict(each) | {"sure": each.sure}
                    for measure, each in row.items()
                }
                for name, row in self.rows.items()
            },
        }


def difference_tables(compared: Sequence[Differences]) -> dict[str, Table]:
    """The tables by their names in files."""
    return {f"over {each.reference}": each.table() for each in compared}


def difference_text(compared: Sequence[Differences]) -> str:
    """The tables as text, followed by what their brackets mean."""
    notes = [NOTE, *([OF_SEEDS] if any(each.of_seeds for each in compared) else [])]
    return "\n\n".join([*(str(each.table()) for each in compared), textwrap.fill(" ".join(notes), 120)])


def differences(systems: Mapping[str, Runs], reference: str, subset: Sequence[str] = ()) -> Differences:
    """Of all other systems from the one named `reference`, by measure: all classes, `subset`, and both in the band.

    Raises ValueError where there is no such system or class, and as `paired_difference`, with the names of both systems.
    """
    if reference not in systems:
        raise ValueError(f"there is no row {reference!r}; the rows are {', '.join(map(repr, systems))}")
    check_classes(subset, systems[reference][0][0].classes)
    chosen = measures(subset)
    areas = {
        name: {region: [counts.areas(row, region) for counts, row in runs] for region in REGIONS}
        for name, runs in systems.items()
    }
    rows: dict[str, dict[str, Difference | None]] = {}
    for name in systems:
        if name == reference:
            continue
        try:
            rows[name] = {
                measure: paired_difference(areas[name][region], areas[reference][region], classes)
                for measure, (region, classes) in chosen.items()
            }
        except ValueError as error:
            raise ValueError(f"{name!r} cannot be compared with {reference!r}: {error}") from error
    return Differences(reference, rows)


def of_rows(
    counts: ImageCounts, reference: str, subset: Sequence[str] = (), rows: Sequence[str] | None = None
) -> Differences:
    """`differences` among the rows of one record: of `rows` (None: all) from one of them."""
    names = dict.fromkeys([reference, *(counts.rows if rows is None else rows)])
    return differences({name: [(counts, name)] for name in names}, reference, subset)


def measures(subset: Sequence[str] = ()) -> dict[str, tuple[str, Sequence[str] | None]]:
    """The region, and the classes (None: all), of every measure by its title."""
    found: dict[str, tuple[str, Sequence[str] | None]] = {"mean IoU": ("image", None)}
    if subset:
        found[f"mean IoU\nof {len(subset)}"] = ("image", subset)
    found[f"within\n{BAND} px of void"] = ("band", None)
    if subset:
        found[f"of {len(subset)} within\n{BAND} px of void"] = ("band", subset)
    return found


def show(difference: Difference | None) -> str:
    """A difference with its interval over images."""
    if difference is None:
        return MISSING
    return f"{difference.points:+.2f} {_interval(difference.images)}"


def show_seeds(difference: Difference | None) -> str:
    """The interval of a difference over seeds."""
    return MISSING if difference is None else _interval(difference.seeds)


def _interval(interval: Interval | None) -> str:
    return MISSING if interval is None else f"[{interval[0]:.2f}, {interval[1]:.2f}]"
