"""The commands of the weak table that are still to be run, and the lists that they take."""

from pathlib import Path
from typing import TYPE_CHECKING

from crfrnn._files import replacing
from eval.scoring.report import JSON_NAME
from train.weak.rows import FIELD, ROWS, SCHEDULES, Row

if TYPE_CHECKING:
    from train.weak_table import Options


def folder(options: "Options", row: str, seed: int) -> Path:
    """The folder of one run."""
    return options.out / f"{row}-{seed}"


def commands(options: "Options") -> list[list[str]]:
    """What is still to be run, in order, seed after seed; the lists are written here."""
    lists = write_lists(options)
    runs = [(name, seed) for seed in options.seeds for name in options.rows]
    left = [(name, seed) for name, seed in runs if not (folder(options, name, seed) / JSON_NAME).exists()]
    data = ["--data", str(options.data)]
    targets = str(options.out / "targets")
    needed = {ROWS[name].maps for name, _ in left}
    kinds = [kind for kind in ("rect", "seg", "scribbles") if kind in needed]
    found = []
    if kinds:
        make = ["python", "-m", "train.targets", *data, "--boxes", "regions", "--kinds", *kinds, "--out", targets]
        found.append(make)
    for name, seed in left:
        out = folder(options, name, seed)
        command = ["python", "-m", "train.run", "--recipe", ROWS[name].recipe, *data, "--targets", targets]
        command += ["--out", str(out), *(["--init", options.init] if options.init else [])]
        command += ["--resume"] if (out / "recipe.json").exists() else []
        found.append([*command, *changes(options, ROWS[name], lists), "--seed", str(seed)])
    return found


def changes(options: "Options", row: Row, lists: dict[str, str]) -> list[str]:
    """What the runs of a row change in its recipe."""
    schedule = SCHEDULES[options.network]
    found = ["--network", options.network, *schedule.changes.split(), *row.changes.split()]
    found += ["--stages.network.steps", str(options.steps), "--val-list", options.val_list]
    found += ["--stages.network.batch-size", str(schedule.batch), "--stages.network.lr", str(schedule.lr)]
    for name, (share, split) in row.sources.items():
        source = f"--{FIELD}.{name}"
        found += [f"{source}.count", str(round(share * schedule.batch)), f"{source}.split", lists[split]]
        weight = options.crf_weight if row.crf_loss == name else 0.0
        found += [f"{source}.crf-loss.weight", str(weight)]
    return found


def write_lists(options: "Options") -> dict[str, str]:
    """The images that keep their masks in mixtures, evenly spaced in train_aug, and the others; names or files by kind."""
    from crfrnn.data import VOCSegmentation
    from eval.scoring.evaluate import evenly_spaced

    names = VOCSegmentation(options.data, "train_aug").names
    strong = evenly_spaced(names, options.masks)
    weak = [name for name in names if name not in set(strong)]
    if not weak:
        raise ValueError(
            f"train_aug has {len(names)} images, --masks is {options.masks}; wanted fewer, so that some are left"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    lists = {"all": "train_aug"}
    for kind, entries in (("strong", strong), ("weak", weak)):
        path = options.out / f"{kind}.txt"
        with replacing(path) as partial:
            partial.write_text("\n".join(entries) + "\n", encoding="utf-8")
        lists[kind] = str(path)
    return lists
