"""The steps of one training stage, from wherever the run stands to the stage's end."""

import signal
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from crfrnn.nets import SegmentationModel
from train import board
from train.folder import LAST, LOG, Log, save
from train.interrupt import Interrupted
from train.loss import StageLoss, counted
from train.optimiser import build_optimiser, clip_gradients, rates, set_rates
from train.state import Progress, Run
from train.stream import Batch, step_seed, stream
from train.validation import validate

PRECISIONS = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Training:
    """One stage of a run. `state` is what an interrupted run left behind, or None.

    Writes `last.pt` every `save_every` steps, `<name>-<step>.pt` every `keep_every`, `<name>-best.pt` where a validation
    is the best so far, and `<name>.pt` at the end.
    """

    def __init__(self, run: Run, name: str, model: SegmentationModel, state: dict[str, Any] | None) -> None:
        self.run, self.name, self.stage, self.model = run, name, run.recipe.stages[name], model
        self.number = list(run.recipe.stages).index(name)
        self.optimiser = build_optimiser(model, self.stage)
        self.scaler = torch.amp.GradScaler(run.device.type, enabled=run.recipe.autocast == "fp16")
        self.average = None
        if self.stage.ema:
            self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(self.stage.ema))
        self.progress = Progress()
        if state is not None:
            self.optimiser.load_state_dict(state["optimiser"])
            self.scaler.load_state_dict(state["scaler"])
            self.progress = Progress(**state["progress"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
        self.loss = StageLoss(model, self.stage.loss_stride)
        self.shared: StageLoss | DistributedDataParallel = self.loss
        if run.group.world > 1:
            self.shared = DistributedDataParallel(self.loss, broadcast_buffers=False)
        self.log = Log(run.out / LOG, run.group.is_main)
        self.log.rewind(name, self.progress.step, self.progress.validated)
        self.writer = None
        if run.group.is_main:
            self.writer = SummaryWriter(str(run.out / "tensorboard" / name), purge_step=self.progress.step)

    @property
    def result(self) -> SegmentationModel:
        """The model that is scored and kept: the averaged one where there is one."""
        return self.model if self.average is None else self.average.module

    def finish(self) -> None:
        """Go to the end of the stage. Raises FloatingPointError where the loss is not finite, Interrupted on a signal."""
        run, stage = self.run, self.stage
        self.shared.train()
        if self.progress.step:
            self.score_if_due()
        batches = stream(run.dataset, stage, self.progress.step, run.recipe.seed, run.recipe.workers, run.group)
        with run.stop.deferred(), self.bar() as bar:
            began = time.perf_counter()
            epoch_began, epoch_step = began, self.progress.step
            for passes in batches:
                loss = self.step(passes)
                now = time.perf_counter()
                speed, began = stage.batch_size / (now - began), now
                bar.update()
                bar.set_postfix_str(f"loss {loss:.3f}, {speed:.1f} images/s", refresh=False)
                if self.writer is not None:
                    self.writer.add_scalar("images per second", speed, self.progress.step)
                if self.epoch_ended():
                    images = stage.batch_size * (self.progress.step - epoch_step)
                    self.write_line(images / (now - epoch_began))
                    epoch_began, epoch_step = now, self.progress.step
                self.save_if_due()
                self.score_if_due()
        self.save_result()

    def bar(self) -> tqdm:
        done, total = self.progress.step, self.stage.steps
        return tqdm(
            desc=self.name, initial=done, total=total, unit="step", dynamic_ncols=True, disable=self.writer is None
        )

    def step(self, passes: list[Batch]) -> float:
        """One step of the optimiser over the passes of this process; returns the mean loss over all processes."""
        stage, step = self.stage, self.progress.step
        pixels = sum(counted(labels, stage.loss_stride) for _, labels, *_ in passes)
        asked = self.run.stop.number is not None
        state = self.run.group.total(torch.tensor([pixels, asked], dtype=torch.float64))
        if state[1]:
            self.leave()
        count = max(int(state[0]), 1)
        set_rates(self.optimiser, stage, step)
        self.optimiser.zero_grad(set_to_none=True)
        torch.manual_seed(step_seed(self.run.recipe.seed, self.number, step, self.run.group.rank))
        scale = self.run.group.world / (count if stage.normalize_loss else 1)  # gradients of processes are averaged
        own = torch.zeros(1, dtype=torch.float64)
        for i, (images, labels, _, allowed) in enumerate(passes, 1):
            with self.unshared(i < len(passes)), self.precision():
                images = images.to(self.run.device, non_blocking=True, memory_format=torch.channels_last)
                loss = self.shared(images, labels.to(self.run.device, non_blocking=True), allowed)
                self.scaler.scale(loss * scale).backward()
            own += loss.detach().cpu().double()
        mean = float(self.run.group.total(own)) / count
        self.check(mean, "the loss", passes)
        self.scaler.unscale_(self.optimiser)
        norms = clip_gradients(self.optimiser, stage.clip)
        if not self.scaler.is_enabled():  # which meets such gradients by a smaller scale
            self.check(sum(norms.values()), "the norm of the gradient", passes)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.progress.step += 1
        self.progress.loss += mean
        self.progress.losses += 1
        self.write_step(step, mean, norms)
        return mean

    def precision(self) -> AbstractContextManager:
        kind = self.run.recipe.autocast
        return torch.autocast(self.run.device.type, PRECISIONS[kind]) if kind != "off" else nullcontext()

    def unshared(self, wanted: bool) -> AbstractContextManager:
        """Keeps gradients to this process until the last pass of a step."""
        return self.shared.no_sync() if wanted and isinstance(self.shared, DistributedDataParallel) else nullcontext()

    def check(self, value: float, what: str, passes: list[Batch]) -> None:
        """Raise FloatingPointError where `value` is not finite."""
        if not torch.isfinite(torch.tensor(value)):
            names = ", ".join(name for _, _, names, _ in passes for name in names)
            raise FloatingPointError(
                f"{what} is {value} in step {self.progress.step} of stage {self.name!r}, images {names}; lower the rates, "
                f"or look at these images. {self.run.out / LAST} holds the last checkpoint, if one was written"
            )

    def leave(self) -> None:
        """Write last.pt and raise Interrupted: a signal has come, here or to another process."""
        self.save(LAST)
        raise Interrupted(self.run.stop.number or signal.SIGTERM)

    def epoch_ended(self) -> bool:
        size, count, step = self.stage.batch_size, len(self.run.dataset), self.progress.step
        return step * size // count > (step - 1) * size // count or step == self.stage.steps

    def write_line(self, speed: float) -> None:
        """The line of an epoch in the log."""
        progress = self.progress
        epoch = progress.step * self.stage.batch_size / len(self.run.dataset)
        rate = max(group["lr"] for group in self.optimiser.param_groups)
        mean = progress.loss / progress.losses
        text = f"epoch {epoch:.2f}  loss {mean:.5f}  largest rate {rate:.3g}  {speed:.1f} images/s"
        self.log.write(self.name, progress.step, text)
        progress.loss, progress.losses = 0.0, 0

    def write_step(self, step: int, loss: float, norms: dict[str, float]) -> None:
        if self.writer is None:
            return
        self.writer.add_scalar("loss", loss, step)
        for group, norm in norms.items():
            self.writer.add_scalar(f"gradient norm/{group}", norm, step)
        for group, rate in rates(self.optimiser).items():
            self.writer.add_scalar(f"rate/{group}", rate, step)
        if self.model.crf is not None:
            board.write_crf(self.writer, self.model.crf, step)

    def score_if_due(self) -> None:
        """Score the validation list where that is to be done behind the present step and has not been done."""
        step, every = self.progress.step, self.stage.validate_every
        if step == self.progress.validated or not (step == self.stage.steps or (every and step % every == 0)):
            return
        self.save(LAST)
        with self.run.stop.raising():
            mean_iou, text = validate(self.run, self.result, self.writer, step)
        self.log.write(self.name, step, text)
        self.progress.validated = step
        if mean_iou > self.progress.best:
            self.progress.best = mean_iou
            self.save(f"{self.name}-best.pt", resumable=False)
        self.shared.train()

    def save_if_due(self) -> None:
        if self.progress.step % self.stage.save_every == 0:
            self.save(LAST)
        if self.stage.keep_every and self.progress.step % self.stage.keep_every == 0:
            self.save(f"{self.name}-{self.progress.step}.pt")

    def save(self, file: str, resumable: bool = True) -> None:
        """Write a checkpoint to go on from, or (not `resumable`) one with the resulting model alone."""
        if self.writer is None:
            return
        parts = self.run.recipe.parts
        training: dict[str, Any] = {"stage": self.name, "step": self.progress.step}
        if parts.wanted:
            training["parts"] = asdict(parts)
        if resumable:
            training |= {
                "progress": asdict(self.progress),
                "optimiser": self.optimiser.state_dict(),
                "scaler": self.scaler.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
            }
        model = self.model if resumable else self.result
        architecture, classes = self.run.architecture(self.stage), list(self.run.dataset.classes)
        save(self.run.out / file, model, architecture, classes, training)

    def save_result(self) -> None:
        """Write the model of the finished stage, and wait until that is done."""
        if self.writer is not None:
            self.writer.close()
            self.save(f"{self.name}.pt", resumable=False)
        self.run.group.wait()
