"""The steps of one training stage, from wherever the run stands to the stage's end."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from crfrnn.data import VOID, VOCSegmentation
from crfrnn.nets import SegmentationModel, save_checkpoint
from train.optimiser import build_optimiser, clip_gradients, set_rates
from train.recipes import Recipe, Stage
from train.stream import stream


@dataclass
class Run:
    """What the stages of one run share."""

    recipe: Recipe
    dataset: VOCSegmentation
    architecture: dict
    out: Path
    device: torch.device


def stage_loss(model: SegmentationModel, stage: Stage, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the pixels that are not void, at every `stage.loss_stride`-th pixel of the labels.

    Without a CRF only the scores asked for are interpolated; scores at the loss stride are taken as they are.
    """
    labels = labels[:, :: stage.loss_stride, :: stage.loss_stride]
    if model.crf is not None:
        logits = model(images)[:, :, :: stage.loss_stride, :: stage.loss_stride]
    else:
        scores = model.scores(images).float()
        logits = F.interpolate(scores, size=labels.shape[1:], mode="bilinear", align_corners=True)
    counted = (labels != VOID).sum().clamp(min=1)
    return F.cross_entropy(logits, labels, ignore_index=VOID, reduction="sum") / counted


def train_stage(run: Run, model: SegmentationModel, name: str, stage: Stage, state: dict | None) -> None:
    """Take `model` through the rest of `stage`; `state` is what an interrupted run left behind, or None.

    Writes `last.pt` every `stage.save_every` steps and `<name>.pt` at the end. Raises FloatingPointError where the loss
    is not finite, with the step and the images.
    """
    optimiser = build_optimiser(model, stage)
    start = 0
    if state is None:
        torch.manual_seed(run.recipe.seed)
    else:
        optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        start = state["step"]
    loader = stream(run.dataset, stage, start, run.recipe.seed, run.recipe.workers)
    writer = SummaryWriter(str(run.out / "tensorboard" / name), purge_step=start)
    model.train()
    bar = tqdm(loader, desc=name, initial=start, total=stage.steps, unit="step", dynamic_ncols=True)
    for step, (images, labels, names) in enumerate(bar, start):
        began = time.perf_counter()
        set_rates(optimiser, stage, step)
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.recipe.autocast):
            loss = stage_loss(model, stage, images.to(run.device), labels.to(run.device))
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss.item()} in step {step} of stage {name!r}, images {', '.join(names)}; lower the "
                f"rates, or look at these images. {run.out / 'last.pt'} holds the last checkpoint, if one was written"
            )
        loss.backward()
        norms = clip_gradients(model, stage.clip)
        optimiser.step()
        bar.set_postfix(loss=f"{loss.item():.3f}")
        writer.add_scalar("loss", loss.item(), step)
        writer.add_scalar("images per second", len(names) / (time.perf_counter() - began), step)
        for part, norm in norms.items():
            writer.add_scalar(f"gradient norm/{part}", norm, step)
        for group in optimiser.param_groups:
            writer.add_scalar(f"rate/{group['name']}", group["lr"], step)
        if (step + 1) % stage.save_every == 0 or step + 1 == stage.steps:
            _save(run, model, run.out / "last.pt", name, step + 1, optimiser)
    writer.close()
    _save(run, model, run.out / f"{name}.pt", name, stage.steps, None)


def _save(
    run: Run, model: SegmentationModel, path: Path, stage: str, step: int, optimiser: torch.optim.Optimizer | None
) -> None:
    training: dict = {"stage": stage, "step": step}
    if optimiser is not None:
        training |= {"optimiser": optimiser.state_dict(), "random": torch.get_rng_state()}
    classes = list(run.dataset.classes)
    save_checkpoint(path, model, architecture=run.architecture, classes=classes, training=training)
