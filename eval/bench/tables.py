"""Tables of what `eval.bench.sections` measured, and the names of systems and sections in options, tables and JSON."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from eval.scoring.tables import Table

Record = Mapping[str, Any]

OURS, PLAIN, SEEN = "crfrnn", "crfrnn, plain torch", "crfrnn, size seen before"
PYDENSECRF, SIMPLECRF = "pydensecrf2", "SimpleCRF"
SECTIONS = ("pairs", "pixels", "labels", "iterations", "batch", "memory", "training")

TITLES = {
    "pairs": "Whole inference with equal results; 'times': the seconds of a system divided by those of crfrnn",
    "pixels": "Growth with pixels (one image resized bicubically; bandwidths in pixels stay)",
    "labels": "Growth with labels",
    "iterations": "Growth with iterations",
    "batch": "Growth with the number of images in a batch",
    "memory": "Peak memory of one inference in a process of its own, with unary, image and result",
    "training": "Training: forward, and backward to unary, kernel weights and compatibility",
}
# The title of what a section varies, and its value in a record.
VARIED: dict[str, tuple[str, Callable[[Record], int]]] = {
    "pixels": ("pixels", lambda record: record["size"][0] * record["size"][1]),
    "labels": ("labels", lambda record: record["labels"]),
    "iterations": ("iterations", lambda record: record["iterations"]),
    "batch": ("images", lambda record: record["batch"]),
    "memory": ("pixels", lambda record: record["size"][0] * record["size"][1]),
}
THETAS_TITLE = "(theta_alpha,\ntheta_beta)"


def section_title(section: str, records: Sequence[Record]) -> str:
    """The title of a section, and what its cases share."""
    formats: dict[str, Callable[[Any], str]] = {"size": _size, "labels": str, "iterations": str, "batch": str}
    values = {name: {format_(record[name]) for record in records} for name, format_ in formats.items()}
    facts = ", ".join(f"{name} {found.pop()}" for name, found in values.items() if len(found) == 1)
    return f"{TITLES[section]}\n{facts}"


def section_table(section: str, records: Sequence[Record], missing: Iterable[str] = ()) -> Table:
    """The table of a section; `missing` names systems that are not installed."""
    if section == "pairs":
        return _pairs(records, missing)
    if section == "training":
        return _training(records)
    return _memory(records) if section == "memory" else _growth(section, records)


def systems_of(records: Sequence[Record], value: str = "seconds") -> list[str]:
    """The names of all systems in `records`, in the order of their first appearance."""
    return list(dict.fromkeys(name for record in records for name in record[value]))


def _pairs(records: Sequence[Record], missing: Iterable[str]) -> Table:
    ours = [name for name in systems_of(records) if re.fullmatch(rf"{OURS}, \d+ threads?", name)]
    header = [THETAS_TITLE, "system", "seconds", *(f"times\n{_folded(name)}" for name in ours)]
    header += ["equal\nlabels, %", "mean difference\nof beliefs", "largest difference\nof beliefs"]
    rows = []
    for record in records:
        for name, seconds in record["seconds"].items():
            equality = record["equality"].get(name, {})
            rows.append(
                [
                    _thetas(record["thetas"]),
                    name + (" (beliefs clipped)" if "beliefs clipped to" in record else ""),
                    f"{seconds:.3f}",
                    *(f"{seconds / record['seconds'][each]:.2f}" for each in ours),
                    _percent(equality.get("equal labels")),
                    _number(equality.get("mean difference of beliefs"), ".1e"),
                    _number(equality.get("largest difference of beliefs"), ".1e"),
                ]
            )
    rows += [["-", f"{system}: left out", *("-" for _ in header[2:])] for system in missing]
    return Table(header, rows)


def _growth(section: str, records: Sequence[Record]) -> Table:
    """Seconds of every system, those of the first one per unit of what is varied, and ratios of the others to it."""
    title, varied = VARIED[section]
    names = systems_of(records)
    header = [THETAS_TITLE, title, *(f"{_folded(name)}\nseconds" for name in names)]
    header += [
        f"{_folded(names[0])}\nus per {title.rstrip('s')}",
        *(f"{_folded(name)}\n/ crfrnn" for name in names[1:]),
    ]
    rows = []
    for record in records:
        seconds = record["seconds"]
        first = seconds[names[0]]
        ratios = {name: value / first for name, value in seconds.items()}
        rows.append(
            [
                _thetas(record["thetas"]),
                _size(record["size"]) if section == "pixels" else str(varied(record)),
                *(_number(seconds.get(name), ".3f") for name in names),
                f"{1e6 * first / varied(record):.4g}",
                *(_number(ratios.get(name), ".2f") for name in names[1:]),
            ]
        )
    return Table(header, rows)


def _memory(records: Sequence[Record]) -> Table:
    names = systems_of(records, "peak bytes")
    header = [THETAS_TITLE, "pixels", *(f"{_folded(name)}\nMB" for name in names)]
    header.append(f"{_folded(names[0])}\nbytes per pixel")
    rows = []
    for record in records:
        megabytes = {name: value / 1e6 for name, value in record["peak bytes"].items()}
        per_pixel = record["peak bytes"][names[0]] / VARIED["memory"][1](record)
        cells = [_number(megabytes.get(name), ".0f") for name in names]
        rows.append([_thetas(record["thetas"]), _size(record["size"]), *cells, f"{per_pixel:.0f}"])
    return Table(header, rows)


def _training(records: Sequence[Record]) -> Table:
    header = [THETAS_TITLE, "system", "forward\ns", "backward\ns", "both\ns", "relative difference\nof gradients"]
    rows = []
    for record in records:
        for name, both in record["seconds"].items():
            forward = record["forward seconds"][name]
            equality = record["equality"].get(name, {})
            difference = _number(equality.get("relative difference of gradients"), ".1e")
            seconds = [f"{value:.3f}" for value in (forward, both - forward, both)]
            rows.append([_thetas(record["thetas"]), name, *seconds, difference])
    return Table(header, rows)


def _thetas(thetas: Sequence[float]) -> str:
    return f"({thetas[0]:g}, {thetas[1]:g})"


def _size(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"


def _folded(name: str) -> str:
    return name.replace(", ", ",\n")


def _number(value: float | None, format_: str) -> str:
    return "-" if value is None else format(value, format_)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.3f}"
