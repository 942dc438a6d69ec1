"""What a finished run shows: one table of its models on the validation list, pictures, and where they are."""

import shlex
import sys
from dataclasses import asdict
from typing import Any

import torch

from crfrnn.data import VOCSegmentation
from crfrnn.nets import model_from_checkpoint
from eval.evaluate import evaluate
from eval.figures import Album, panel, save_figure
from eval.methods import mean_field, network_alone
from eval.metrics import Scores
from eval.provenance import commit, hardware
from eval.report import report, save_report
from eval.run import spread
from train.loop import Run

ITERATIONS = (5, 10)
PICTURES = 6
NETWORK, DENSE_CRF, JOINT = "network alone", "network + dense CRF", "CRF-RNN"


def compare(run: Run, dataset: VOCSegmentation) -> tuple[dict[str, Scores], Album]:
    """Scores on `dataset` of the network, of a fixed dense CRF behind it, and of the jointly trained CRF-RNN.

    The first two come from network.pt, the last from joint.pt, as far as the run has them.
    """
    scores: dict[str, Scores] = {}
    album = Album(spread(dataset.names, PICTURES), [NETWORK, DENSE_CRF, f"{JOINT}, T = {ITERATIONS[0]}"])
    if (run.out / "network.pt").exists():
        model, _ = model_from_checkpoint(run.out / "network.pt")
        dense = run.recipe.dense_crf.build(dataset.num_labels).to(run.device)
        methods = [network_alone(NETWORK), mean_field(dense, {dense.num_iterations: DENSE_CRF})]
        scores |= evaluate(model.to(run.device), dataset, methods, observer=album)
    if (run.out / "joint.pt").exists():
        model, _ = model_from_checkpoint(run.out / "joint.pt")
        model = model.to(run.device)
        assert model.crf is not None
        rows = {iterations: f"{JOINT}, T = {iterations}" for iterations in ITERATIONS}
        scores |= evaluate(model, dataset, [mean_field(model.crf, rows)], observer=album)
    return scores, album


def finish(run: Run, dataset: VOCSegmentation, argv: list[str]) -> None:
    """Compare the models of a run, print the table, and write scores.txt, scores.json and pictures.png into its folder."""
    scores, album = compare(run, dataset)
    save_report(run.out, scores, facts=describe(run, dataset, argv))
    save_figure(panel(album.examples, dataset.classes), run.out / "pictures.png")
    print(f"\n{len(dataset)} images of the list {run.recipe.val_list}, percent\n\n{report(scores)}\n", file=sys.stdout)
    print(f"pictures     {run.out / 'pictures.png'}")
    print(f"scores       {run.out / 'scores.json'}")
    print(f"checkpoints  {', '.join(str(path) for path in sorted(run.out.glob('*.pt')))}")
    print(f"TensorBoard  tensorboard --logdir {run.out / 'tensorboard'}")


def describe(run: Run, dataset: VOCSegmentation, argv: list[str]) -> dict[str, Any]:
    """What makes the numbers reproducible, for the JSON file."""
    return {
        "command": shlex.join(["python", "-m", "train.run", *argv]),
        "commit": commit(),
        "torch": torch.__version__,
        "hardware": hardware(run.device),
        "images": len(dataset),
        "recipe": asdict(run.recipe),
    }
