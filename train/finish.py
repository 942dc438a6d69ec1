"""What a finished run shows: one table of its models on the validation list, pictures, and where they are."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from crfrnn.data import allowed_labels, part_names
from crfrnn.nets import SegmentationModel, infer, load_checkpoint, model_from_checkpoint, restrict
from crfrnn.nets.assembly import Forward
from eval.pictures.belief_maps import write_iterations
from eval.pictures.figures import Album, matrices_figure, panel, save_figure
from eval.pictures.iterations import largest_labels, watch
from eval.scoring.bootstrap import mean_iou
from eval.scoring.counts import ImageCounts
from eval.scoring.differences import Differences, of_rows
from eval.scoring.evaluate import all_of, evaluate, evenly_spaced
from eval.scoring.methods import Method, network_alone, with_crf
from eval.scoring.metrics import Scores
from eval.scoring.record import commit, hardware
from eval.scoring.report import report, report_tables, save_report
from eval.scoring.tables import write_tables
from train.board.overview import write_results
from train.folder import BOARD, OVERVIEW, command, plain
from train.recipes import Stage
from train.recipes.order import begins_from_control, is_control, previous
from train.start import build_crf, freeze
from train.state import Run
from train.steps.memory import remembering
from train.validation import some

ITERATIONS = (5, 10)
PICTURES = 6
BELIEFS = 2  # images whose beliefs are shown per iteration
KINDS = {"network": "network alone", "crf": "CRF parameters alone", "joint": "CRF-RNN"}
CONTROL = "control"
DENSE_CRF = "dense CRF"
UNTRAINED = "CRF-RNN, untrained"


def finish(run: Run, argv: list[str]) -> None:
    """Compare the models of a run, print the table, and write scores.txt, scores.json and pictures into its folder."""
    scores, album, counts = compare(run)
    examples = run.group.gather(album.examples)
    counts = ImageCounts.joined(run.group.gather([counts]))
    if not run.group.is_main:
        return
    dataset, out, parts = run.validation, run.out, part_names(run.validation)
    facts = describe(run, argv)
    compared = differences(run, counts, parts)
    save_report(out, scores, parts, facts, counts, compared)
    write_tables(run.table, report_tables(scores, parts, compared))
    pictures = out / f"pictures.{run.figures}"
    save_figure(panel(examples, dataset.classes), pictures)
    means = {row: values.mean_iou for row, values in scores.items()}
    steps = sum(stage.steps for stage in run.recipe.stages.values())
    write_results(run.out / BOARD / OVERVIEW, run.recipe, means, str(out), steps)
    for name, stage in finished(run).items():
        if stage.trains != "network" and not begins_from_control(run.recipe.stages, name):
            write_beliefs(run, name)
            if parts:
                write_compatibility(run, name)
    print(
        f"\n{facts['images']} images of the list {run.recipe.val_list}, percent\n\n{report(scores, parts, compared)}\n",
        file=sys.stdout,
    )
    for name, why in facts["stopped"].items():
        print(f"stage {name}: {why}")
    print(f"pictures     {pictures}")
    print(f"scores       {out / 'scores.json'}")
    print(f"checkpoints  {', '.join(str(path) for path in sorted(out.glob('*.pt')))}")
    # By default TensorBoard drops images beyond ten of a tag.
    print(f"TensorBoard  tensorboard --samples_per_plugin images=100 --logdir {out / BOARD}")


def compare(run: Run) -> tuple[dict[str, Scores], Album, ImageCounts]:
    """Scores on the validation list of every stage's model, as far as the run has it, and the counts of this process.

    The last network that was trained alone and the controls of joint training are scored with the recipe's fixed dense CRF,
    too, and with its untrained CRF-RNN where a stage of the recipe trains one. Models that were trained jointly come last.
    """
    stages = finished(run)
    networks = [name for name, stage in stages.items() if stage.trains == "network"]
    controls = [name for name in networks if is_control(run.recipe.stages, name)]
    with_fixed = [*[name for name in networks if name not in controls][-1:], *controls]
    scores: dict[str, Scores] = {}
    indices = some(len(run.validation), run.final_images)
    titles = {name: row_name(run, name, list(stages)) for name in stages}
    names = [title for title in titles.values() if not title.startswith(CONTROL)]
    shown = [*names, f"network + {DENSE_CRF}", *(f"{title}, T = {ITERATIONS[0]}" for title in names)]
    album = Album(evenly_spaced([run.validation.names[i] for i in indices], PICTURES), shown)
    counts = ImageCounts(run.validation.classes)
    for name, stage in sorted(stages.items(), key=lambda item: item[1].trains == "joint"):
        if stage.trains == "crf" and previous(run.recipe.stages, name) in networks:
            continue  # scored with the network it is on
        model = load(run, name)
        methods: list[Method] = [rows(model, titles[name])]
        if name in with_fixed:
            methods += fixed(run, *(f"{CONTROL} + ",) * 2) if name in controls else fixed(run, "network + ", "")
        if name in networks:
            on_top = [
                other
                for other, it in stages.items()
                if it.trains == "crf" and previous(run.recipe.stages, other) == name
            ]
            methods += [rows(load(run, other), titles[other]) for other in on_top]
        network = remembered_network(run, name, model)
        observer = all_of(album, counts)
        scores |= evaluate(model, run.validation, methods, indices=indices, observer=observer, network=network)
    return scores, album, counts


def remembered_network(run: Run, name: str, model: SegmentationModel) -> Forward | None:
    """The network of a stage's model with the memory of the stage, where it has one."""
    stage = run.recipe.stages[name]
    if not stage.trunk_memory:
        return None
    freeze(model, stage, name)
    return remembering(model, run.memory, stage.trunk_memory)


def fixed(run: Run, dense: str, untrained: str) -> list[Method]:
    """The recipe's fixed dense CRF, and its untrained CRF-RNN if a stage trains one; rows begin with the words given."""
    settings = run.recipe.dense_crf
    layer = settings.build(run.validation.num_labels).to(run.device)
    found = [with_crf(layer, {settings.num_iterations: f"{dense}{DENSE_CRF}"})]
    if all(stage.trains == "network" for stage in run.recipe.stages.values()):
        return found
    colors = replace(run.recipe.crf, guide_channels=0)  # a learned guide begins as them
    begin = build_crf(colors, run.dataset).to(run.device)
    return [*found, with_crf(begin, {t: f"{untrained}{UNTRAINED}, T = {t}" for t in ITERATIONS})]


def differences(run: Run, counts: ImageCounts, subset: Sequence[str]) -> list[Differences]:
    """Of all rows from the first; and of joint training from the best row without it, which is what joint training gains."""
    stages = finished(run)
    titles = [row_name(run, name, list(stages)) for name, stage in stages.items() if stage.trains == "joint"]
    joint = [f"{title}, T = {t}" for title in titles for t in ITERATIONS]
    others = [row for row in counts.rows if row not in joint]
    found = [of_rows(counts, counts.rows[0], subset)]
    if joint and others:
        best = max(others, key=lambda row: mean_iou(counts.areas(row)) or 0.0)
        found.append(of_rows(counts, best, subset, joint))
    return found


def rows(model: SegmentationModel, title: str) -> Method:
    """The rows of a stage's model: of its network, or of its CRF-RNN where it has one."""
    if model.layer is None:
        return network_alone(title)
    return with_crf(model.layer, {t: f"{title}, T = {t}" for t in ITERATIONS})


def finished(run: Run) -> dict[str, Stage]:
    """The stages whose models are there."""
    return {name: stage for name, stage in run.recipe.stages.items() if (run.out / f"{name}.pt").exists()}


def row_name(run: Run, name: str, stages: list[str]) -> str:
    """What the rows of a stage are called: by what it trained, with its name where others trained the same."""
    alike = [other for other in stages if kind(run, other) == kind(run, name)]
    return kind(run, name) + (f" ({name})" if len(alike) > 1 else "")


def kind(run: Run, name: str) -> str:
    """What a stage trained, in words."""
    if is_control(run.recipe.stages, name):
        return f"{CONTROL} alone"
    trained = KINDS[run.recipe.stages[name].trains]
    return f"{CONTROL} + {trained}" if begins_from_control(run.recipe.stages, name) else trained


def load(run: Run, name: str) -> SegmentationModel:
    model, _ = model_from_checkpoint(run.out / f"{name}.pt", run.functions)
    return model.to(run.device)


def write_beliefs(run: Run, name: str) -> None:
    """TensorBoard pages of a model's mean field, iteration by iteration, on some images; on one in a rehearsal."""
    model, dataset = load(run, name), run.validation
    assert model.layer is not None
    with SummaryWriter(str(run.out / BOARD / f"{name}-iterations"), purge_step=0) as writer:
        for index in some(len(dataset), BELIEFS if run.final_images is None else 1):
            photo, truth, title = dataset[index]
            labels = run.recipe.belief_labels or largest_labels(truth, dataset.classes, 3)
            image = photo[None].to(run.device, torch.float32)
            unary = restrict(infer(model, image, 0), allowed_labels(dataset, index))
            seen = watch(model.layer, unary, image, dataset.classes, labels, max(ITERATIONS), truth)
            write_iterations(writer, title, photo, seen)


def write_compatibility(run: Run, name: str) -> None:
    """The figure NAME-compatibility: the label penalties as the recipe starts them, and what they have become."""
    model = load(run, name)
    assert model.crf is not None
    before, after = (
        crf.cell.compatibility.detach().cpu() for crf in (build_crf(run.recipe.crf, run.dataset), model.crf)
    )
    matrices = {"penalty of row beside column, before": before, "after training": after, "change": after - before}
    save_figure(matrices_figure(matrices, run.dataset.classes), run.out / f"{name}-compatibility.{run.figures}")


def describe(run: Run, argv: list[str]) -> dict[str, Any]:
    """What makes the numbers reproducible, for the JSON file."""
    trainings = {name: load_checkpoint(run.out / f"{name}.pt")["training"] for name in finished(run)}
    return {
        "command": command(argv),
        "commit": commit(),
        "torch": torch.__version__,
        "hardware": hardware(run.device),
        "processes": run.group.world,
        "init": next((init for training in trainings.values() if (init := training.get("init"))), None),
        "images": len(some(len(run.validation), run.final_images)),
        "seconds": {name: training["seconds"] for name, training in trainings.items()},
        "stopped": {name: training["stopped"] for name, training in trainings.items() if "stopped" in training},
        "recipe": plain(run.recipe),
    }
