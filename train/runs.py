"""Training runs side by side: a row each, or one for runs that differ in nothing but their seed, and their curves.

python -m train.runs runs/*/ --subset background cat cow dog --out eval/results/voc_small

Where recipes or --init differ, tables follow of what the others have over the first, row by row, with intervals over images
and seeds; that takes runs that were scored on the same images. Writes OUT.json (command, commit, hardware, duration and
scores of every run), OUT.txt (the tables) and OUT.png.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crfrnn._command import exit_code, exit_with
from crfrnn._files import read_json, replacing
from eval.pictures.formats import add_figures_flag
from eval.scoring.lines import curve_style
from eval.scoring.tables import MISSING, Table, add_table_flag, check_table, mean_and_deviation, write_tables
from train.board.tags import MEAN_IOU, NETWORK, TRAINING

if TYPE_CHECKING:  # what is slow to import waits until the options are parsed
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eval.scoring.counts import ImageCounts
    from eval.scoring.differences import Differences

SMOOTHING = 10  # a point of the loss curve is the mean of a tenth of the stage


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m train.runs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a finished run of train.run")
    parser.add_argument("--subset", nargs="+", default=[], help="a column more: mean IoU over these")
    parser.add_argument("--out", type=Path, required=True, help="where to write, without an ending")
    add_table_flag(parser)
    add_figures_flag(parser)
    options = parser.parse_args(argv)
    return exit_code(
        "train.runs", lambda: compare(options.runs, options.subset, options.out, options.table, options.figures)
    )


def compare(folders: Sequence[Path], classes: Sequence[str], out: Path, file: Path | None, figures: str) -> int:
    """Print and write what the runs came to. Raises FileNotFoundError or ValueError where one is not finished."""
    from eval.pictures.figures import save_figure
    from eval.scoring.differences import difference_tables

    check_table(file)
    runs = [read_run(folder) for folder in folders]
    groups = alike(runs)
    found = [(group, table(group, classes)) for group in ([runs[i] for i in numbers] for numbers in groups)]
    compared, more = differences_between([[folders[i] for i in numbers] for numbers in groups], classes)
    text = "\n\n".join([*(f"{rows}\n{facts(group)}" for group, rows in found), *more])
    out.parent.mkdir(parents=True, exist_ok=True)
    for ending, content in ((".txt", text), (".json", json.dumps(runs, indent=1))):
        with replacing(out.with_name(out.name + ending)) as partial:
            partial.write_text(content + "\n", encoding="utf-8")
    save_figure(curves(folders, [run["name"] for run in runs]), out.with_name(f"{out.name}.{figures}"))
    print(text)
    write_tables(file, {group[0]["name"]: rows for group, rows in found} | difference_tables(compared))
    return 0


def read_run(folder: Path) -> dict[str, Any]:
    """What the scores.json of a run says, with the folder's name. Raises FileNotFoundError where there is none."""
    from eval.scoring.report import JSON_NAME

    path = folder / JSON_NAME
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; wanted the folder of a run that has come to its end")
    content = read_json(path)
    if not isinstance(content, dict) or not {"command", "recipe", "seconds", "scores"} <= content.keys():
        raise ValueError(f"{path} is not the {JSON_NAME} of a run of train.run, which has recipe, seconds and scores")
    return {"name": folder.resolve().name, **content}


def alike(runs: Sequence[dict[str, Any]]) -> list[list[int]]:
    """The numbers of the runs in groups of one recipe and one --init, by seed.

    Raises ValueError where a seed comes twice.
    """
    groups: dict[tuple[str, str | None], list[int]] = {}
    for number, run in enumerate(runs):
        recipe = json.dumps({**run["recipe"], "seed": None}, sort_keys=True)
        groups.setdefault((recipe, run.get("init")), []).append(number)
    for group in groups.values():
        group.sort(key=lambda number: runs[number]["recipe"]["seed"])
        for one, other in pairwise(group):
            if runs[one]["recipe"]["seed"] == runs[other]["recipe"]["seed"]:
                raise ValueError(
                    f"{runs[one]['name']} and {runs[other]['name']} have one recipe, one --init and one seed; wanted runs "
                    "that differ in one: leave one out, or compare what else differs by eval.differences"
                )
    return list(groups.values())


def differences_between(
    groups: Sequence[Sequence[Path]], classes: Sequence[str]
) -> "tuple[list[Differences], list[str]]":
    """What the other groups of runs have over the first, a table for each row; and their text, or why there are none."""
    from eval.scoring.counts import ImageCounts
    from eval.scoring.differences import difference_text
    from eval.scoring.report import JSON_NAME

    if len(groups) == 1:
        return [], []
    names = [", ".join(folder.resolve().name for folder in group) for group in groups]
    if len(set(names)) < len(names):
        names = [", ".join(map(str, group)) for group in groups]
    try:
        counts = [[ImageCounts.read(folder / JSON_NAME) for folder in group] for group in groups]
        found = differences_by_row(dict(zip(names, counts, strict=True)), names[0], classes)
    except ValueError as error:
        return [], [f"no intervals of what one recipe has over another: {error}"]
    return found, [difference_text(found)] if found else []


def differences_by_row(
    counts: "Mapping[str, Sequence[ImageCounts]]", first: str, classes: Sequence[str]
) -> "list[Differences]":
    """What other groups of runs have over the group `first`, for each row that they share. Raises as `differences`."""
    from eval.scoring.differences import differences

    found = []
    for row in counts[first][0].rows:
        having = {name: runs for name, runs in counts.items() if all(row in each.rows for each in runs)}
        if first in having and len(having) > 1:
            reference = f"{row} of {first}"
            titles = {name: reference if name == first else name for name in having}
            systems = {titles[name]: [(each, row) for each in runs] for name, runs in having.items()}
            found.append(differences(systems, reference, classes))
    return found


def table(runs: Sequence[dict[str, Any]], classes: Sequence[str]) -> Table:
    """The rows that all runs of one recipe have, in percent: mean and standard deviation where there are several runs."""
    from eval.scoring.metrics import check_classes

    first = runs[0]["scores"]
    check_classes(classes, next(iter(first.values()))["iou"])
    subset = [f"mean IoU\nof {len(classes)}"] if classes else []
    header = [title(runs), "mean\nIoU", *subset, "pixel\naccuracy", "class\naccuracy"]
    rows = []
    for name in (row for row in first if all(row in run["scores"] for run in runs)):
        scores = [run["scores"][name] for run in runs]
        of_subset = [subset_mean([score["iou"] for score in scores], classes)] if classes else []
        others = [mean_and_deviation([score[key] for score in scores]) for key in ("pixel_accuracy", "class_accuracy")]
        rows.append([name, mean_and_deviation([score["mean_iou"] for score in scores]), *of_subset, *others])
    return Table(header, rows)


def facts(runs: Sequence[dict[str, Any]]) -> str:
    """The command of the first run, and how long training took."""
    seconds = [sum(run["seconds"].values()) for run in runs]
    return f"{runs[0]['command']}\ntraining took {mean_and_deviation(seconds, 0)} s"


def title(runs: Sequence[dict[str, Any]]) -> str:
    names = ", ".join(run["name"] for run in runs)
    return f"{names}, percent" if len(runs) == 1 else f"{names}, percent:\nmean ± standard deviation"


def subset_mean(runs: Sequence[dict[str, float | None]], classes: Sequence[str]) -> str:
    """Over runs, mean and standard deviation of the mean IoU of those of `classes` that are there; "-" where none is."""
    values = [[value for name in classes if (value := iou[name]) is not None] for iou in runs]
    return mean_and_deviation([statistics.fmean(each) for each in values]) if all(values) else MISSING


def curves(folders: Sequence[Path], names: Sequence[str]) -> "Figure":
    """Loss and mean IoU over the steps of every stage, a color for each run."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    stages = list(dict.fromkeys(stage for folder in folders for stage in stages_of(folder)))
    figure = Figure(figsize=(3.4 * len(stages) + 0.6, 5.4), dpi=110, layout="constrained")
    grid = figure.subplots(2, len(stages), squeeze=False, sharex="col")
    for column, stage in enumerate(stages):
        grid[0, column].set_title(stage)
        grid[1, column].set_xlabel("step of the run")
        for i, folder in enumerate(folders):
            if stage in stages_of(folder):
                style = {"color": f"C{i % 10}", **curve_style(i, len(folders))}
                draw(list(grid[:, column]), folder / "tensorboard" / stage, style, names[i])
    grid[0, 0].set_ylabel(f"loss, mean of 1/{SMOOTHING} of the steps")
    grid[1, 0].set_ylabel("mean IoU while training, percent")
    grid[0, -1].legend(fontsize=7)
    whole = Line2D([], [], color="0.4", linestyle="-", marker="o")
    kinds = [whole, Line2D([], [], color="0.4", linestyle="--", marker="x")]
    grid[1, -1].legend(kinds, ["the model as a whole", "its network alone"], fontsize=7)
    return figure


def stages_of(folder: Path) -> list[str]:
    """The stages of a run that TensorBoard has curves of, in their order."""
    recipe = read_json(folder / "recipe.json")
    if not isinstance(recipe, dict) or not isinstance(recipe.get("stages"), dict):
        raise ValueError(f"{folder / 'recipe.json'} has no stages; wanted the recipe of a run")
    return [stage for stage in recipe["stages"] if (folder / "tensorboard" / stage).is_dir()]


def draw(axes: Sequence["Axes"], events: Path, style: dict[str, Any], name: str) -> None:
    """The curves of one stage of one run; that of the network alone is dashed where there is a CRF."""
    from matplotlib.ticker import MaxNLocator
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(events), size_guidance={"scalars": 0}).Reload()
    if TRAINING not in log.Tags()["scalars"]:
        raise ValueError(f"{events} has no curve {TRAINING!r}; wanted a run of this version of train.run")
    loss = log.Scalars(TRAINING)
    width = max(1, len(loss) // SMOOTHING)
    means = [statistics.fmean(event.value for event in loss[i - width : i]) for i in range(width, len(loss) + 1)]
    axes[0].plot([event.step for event in loss[width - 1 :]], means, **{**style, "marker": None}, label=name)
    rows = [tag for tag in log.Tags()["scalars"] if tag.startswith(f"{MEAN_IOU}/")]
    for row in rows:
        scores = log.Scalars(row)
        dashed = {"linestyle": "--", "marker": "x"} if row == f"{MEAN_IOU}/{NETWORK}" and len(rows) > 1 else {}
        steps, values = [score.step for score in scores], [score.value for score in scores]
        axes[1].plot(steps, values, **{**style, **dashed})
    for each in axes:
        each.xaxis.set_major_locator(MaxNLocator(integer=True))


if __name__ == "__main__":
    exit_with(main)
