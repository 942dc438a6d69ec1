"""The steps of one training stage, from wherever the run stands to the stage's end."""

import signal
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from itertools import takewhile
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from crfrnn.nets import SegmentationModel
from train.board import curves, pictures
from train.board.tags import LOSS, TRAINING
from train.folder import BOARD, LAST, LOG, Log, continuing, save
from train.interrupt import Interrupted
from train.state import Progress, Run
from train.steps.crf_loss import regularized
from train.steps.loss import QUOTAS, StageLoss, counted, quotas, stage_loss, term_weights
from train.steps.mixture import sources
from train.steps.optimizer import anchors, build_optimizer, check_momentum, clip_gradients, pull, rates, set_rates
from train.steps.stream import Batch, step_seed, stream
from train.validation import validate

PRECISIONS = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Training:
    """One stage of a run. `last` is the checkpoint that it continues from, or None.

    Writes `last.pt` every `save_every` steps, `<name>-<step>.pt` every `keep_every`, `<name>-best.pt` where a validation
    is the best so far, and `<name>.pt` at the end, which comes early where the stage has `patience`.
    """

    def __init__(self, run: Run, name: str, model: SegmentationModel, last: Mapping[str, Any] | None) -> None:
        self.run, self.name, self.stage, self.model = run, name, run.recipe.stages[name], model
        self.number, self.first_step = run.chain(name), run.first_step(name)
        self.scaler = torch.amp.GradScaler(run.device.type, enabled=run.recipe.autocast == "fp16")
        self.anchors = anchors(model)
        named = sources(run.recipe, self.stage)
        self.source_names, self.sources = list(named), list(named.values())
        fixed_norms = run.recipe.batch_norm == "fixed"
        self.loss = stage_loss(model, self.stage, self.sources, fixed_norms, run.memory).to(run.device)
        self.optimizer = build_optimizer(model, self.stage, name, self.loss.learned)
        averaging = get_ema_multi_avg_fn(self.stage.ema)
        self.average = AveragedModel(model, multi_avg_fn=averaging) if self.stage.ema else None
        self.progress = Progress()
        if last is not None:
            with continuing(run.out / LAST):
                self.restore(last)
        self.clock = time.perf_counter()
        self.sets = run.sets.get(name) or [run.dataset]
        self.shared: StageLoss | DistributedDataParallel = self.loss
        if run.group.world > 1:
            self.shared = DistributedDataParallel(self.loss, broadcast_buffers=False)
        self.log = Log(run.out / LOG, run.group.is_main)
        self.log.rewind(name, self.progress.step, self.progress.validated)
        board, purged = str(run.out / BOARD / name), self.first_step + self.progress.step
        self.writer = SummaryWriter(board, purge_step=purged) if run.group.is_main else None

    def restore(self, last: Mapping[str, Any]) -> None:
        """Stand where the checkpoint `last` was written. Raises where its content does not fit the stage."""
        training = last["training"]
        self.model.load_state_dict(last["model"])
        self.optimizer.load_state_dict(training["optimizer"])
        self.scaler.load_state_dict(training["scaler"])
        self.loss.log_temperature.data.fill_(training["log_temperature"])
        self.progress = Progress(**training["progress"])
        self.run.init = self.run.init or training.get("init")
        if self.progress.validated == self.progress.step:
            self.progress.validated -= 1  # TensorBoard drops what it has of this step, so that it comes again
            self.progress.waited -= 1
        if self.average is not None:
            self.average.load_state_dict(training["average"])
        for anchor, saved in zip(self.anchors.values(), training["anchors"], strict=True):
            anchor.copy_(saved)  # --init, where the stage began, need not be given again
        if not 0 <= self.progress.step <= self.stage.steps:
            raise ValueError(f"it is of step {self.progress.step}, and the stage has {self.stage.steps}")
        check_momentum(self.optimizer)

    @property
    def result(self) -> SegmentationModel:
        """The model that is scored and kept: the averaged one where there is one."""
        return self.model if self.average is None else cast(SegmentationModel, self.average.module)

    def finish(self) -> None:
        """Go to the end of the stage. Raises FloatingPointError where the loss is not finite, Interrupted on a signal."""
        run, stage = self.run, self.stage
        self.shared.train()
        if self.progress.step:
            self.score_if_due()
        seed, workers = run.recipe.seed, run.recipe.workers
        batches = stream(self.sets, self.sources, stage, self.progress.step, seed, workers, run.group)
        with run.stop.deferred(), self.bar() as bar:
            began = time.perf_counter()
            epoch_began, epoch_step = began, self.progress.step
            for passes in takewhile(lambda _: self.stopped is None, batches):
                loss = self.step(passes)
                now = time.perf_counter()
                speed, began = stage.batch_size / (now - began), now
                bar.update()
                bar.set_postfix_str(f"loss {loss:.3f}, {speed:.1f} images/s", refresh=False)
                if self.writer is not None:
                    self.writer.add_scalar("images per second", speed, self.first_step + self.progress.step - 1)
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
        """One step of the optimizer over the passes of this process; returns the mean loss over all processes."""
        stage, step = self.stage, self.progress.step
        targets = torch.stack([counted(batch, stage.loss_stride, self.sources) for batch in passes]).sum(0)
        asked = torch.tensor([self.run.stop.number is not None], dtype=torch.float64)
        state = self.run.group.total(torch.cat([targets, asked]))
        if state[-1]:
            self.leave()
        count = state[:-1].clamp(min=1)
        weights = term_weights(self.sources)
        set_rates(self.optimizer, stage, step)
        self.optimizer.zero_grad(set_to_none=True)
        torch.manual_seed(step_seed(self.run.recipe.seed, self.number, step, self.run.group.rank))
        # Gradients of processes are averaged.
        ones = torch.ones(len(self.sources))
        divisors = count if stage.normalize_loss else torch.cat([ones, count[len(ones) :]])
        scale = self.run.group.world * weights / divisors
        own = torch.zeros_like(weights)
        shares = torch.zeros(len(self.sources), 2, len(QUOTAS), dtype=torch.float64)
        for i, batch in enumerate(passes, 1):
            with self.unshared(i < len(passes)), self.precision():
                images = batch.images.to(self.run.device, non_blocking=True, memory_format=torch.channels_last)
                others = [tensor.to(self.run.device, non_blocking=True) for tensor in batch[1:-1]]
                losses = self.shared(images, *others)
                self.scaler.scale((losses * scale.to(losses)).sum()).backward()
            own += losses.detach().cpu().double()
            for number, target in self.loss.estimated.items():
                present = batch.present[batch.source_of == number, : self.run.dataset.num_labels]
                shares[number] += quotas(target.cpu(), present)
        means, shares = self.run.group.total(own) / count, self.run.group.total(shares)
        mean = float((means * weights).sum())
        self.check(mean, "the loss", passes)
        self.scaler.unscale_(self.optimizer)
        pull(self.anchors, stage.crf_decay)
        norms = clip_gradients(self.optimizer, stage.clip)
        if not self.scaler.is_enabled():  # which meets such gradients by a smaller scale
            self.check(sum(norms.values()), "the norm of the gradient", passes)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.progress.step += 1
        self.progress.loss += mean
        self.progress.losses += 1
        self.write_step(step, mean, norms)
        self.write_sources(step, means, shares, passes[-1])
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
            names = ", ".join(name for batch in passes for name in batch.names)
            raise FloatingPointError(
                f"{what} is {value} in step {self.progress.step} of stage {self.name!r}, images {names}; lower the rates, "
                f"or look at these images. {self.run.out / LAST} holds the last checkpoint, if one was written"
            )

    def leave(self) -> None:
        """Write last.pt and raise Interrupted: a signal has come, here or to another process."""
        self.save_last()
        raise Interrupted(self.run.stop.number or signal.SIGTERM)

    def epoch_ended(self) -> bool:
        size, count, step = self.sources[0].count, len(self.sets[0]), self.progress.step
        return step * size // count > (step - 1) * size // count or step == self.stage.steps

    def write_line(self, speed: float) -> None:
        """The line of an epoch in the log."""
        progress = self.progress
        epoch = progress.step * self.sources[0].count / len(self.sets[0])
        rate = max(group["lr"] for group in self.optimizer.param_groups)
        mean = progress.loss / progress.losses
        text = f"epoch {epoch:.2f}  loss {mean:.5f}  largest rate {rate:.3g}  {speed:.1f} images/s"
        self.log.write(self.name, progress.step, text)
        progress.loss, progress.losses = 0.0, 0

    def write_step(self, step: int, loss: float, norms: dict[str, float]) -> None:
        if self.writer is None:
            return
        step += self.first_step
        self.writer.add_scalar(TRAINING, loss, step)
        curves.write_groups(self.writer, norms, rates(self.optimizer), step)
        if self.model.crf is not None:
            start = self.anchors[self.model.crf.cell.compatibility]
            curves.write_parameters(self.writer, self.model.crf, start, step)

    def write_sources(self, step: int, means: Tensor, shares: Tensor, batch: Batch) -> None:
        """What TensorBoard shows of a mixture: the loss of each source, and what was estimated."""
        if self.writer is None or not self.stage.mixture:
            return
        step += self.first_step
        for number, name in enumerate(self.source_names):
            self.writer.add_scalar(f"{LOSS}/of {name}", means[number], step)
            if shares[number].any():
                curves.write_quotas(self.writer, name, shares[number], step)
        for mean, number in zip(means[len(self.sources) :], regularized(self.sources), strict=True):
            self.writer.add_scalar(f"{LOSS}/CRF loss of {self.source_names[number]}", mean, step)
        if self.progress.step % self.stage.save_every == 0:
            for number, target in self.loss.estimated.items():
                index, name = int(torch.nonzero(batch.source_of == number)[0]), self.source_names[number]
                classes = self.run.dataset.classes
                pictures.write_estimate(self.writer, name, batch, index, target[0].cpu(), classes, step)

    def score_if_due(self) -> None:
        """Validate if due after this step and not yet done."""
        step, every = self.progress.step, self.stage.validate_every
        if step == self.progress.validated or not (step == self.stage.steps or (every and step % every == 0)):
            return
        self.save_last()
        with self.run.stop.raising():
            mean_iou, text = validate(self.run, self.result, self.writer, self.first_step + step)
        self.log.write(self.name, step, text)
        self.progress.validated = step
        self.progress.waited += 1
        if mean_iou > self.progress.best:
            self.progress.best, self.progress.waited = mean_iou, 0
            self.save(f"{self.name}-best.pt", resumable=False)
        if self.stopped is not None:
            self.log.write(self.name, step, self.stopped)
        self.shared.train()

    @property
    def stopped(self) -> str | None:
        """Why the stage ends before its last step; None where it does not."""
        return self.progress.stopped(self.stage.patience, self.stage.steps)

    def save_if_due(self) -> None:
        kept = self.stage.keep_every and self.progress.step % self.stage.keep_every == 0
        if kept or self.progress.step % self.stage.save_every == 0:
            self.save_last()

    def save_last(self) -> None:
        """Write last.pt, and first the checkpoint of this step, where one is kept: a run that continues writes no other."""
        if self.stage.keep_every and self.progress.step % self.stage.keep_every == 0:
            self.save(f"{self.name}-{self.progress.step}.pt")
        self.save(LAST)

    def save(self, file: str, resumable: bool = True) -> None:
        """Write a checkpoint to continue from, or (not `resumable`) one with the resulting model alone."""
        if self.writer is None:
            return
        now = time.perf_counter()
        self.progress.seconds, self.clock = self.progress.seconds + now - self.clock, now
        step, seconds = self.progress.step, self.progress.seconds
        training: dict[str, Any] = {"stage": self.name, "step": step, "seconds": seconds, "init": self.run.init}
        if self.stopped is not None:
            training["stopped"] = self.stopped
        if self.run.recipe.parts.wanted:
            training["parts"] = asdict(self.run.recipe.parts)
        if resumable:
            training |= {
                "progress": asdict(self.progress),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "log_temperature": float(self.loss.log_temperature.detach()),
                "average": None if self.average is None else self.average.state_dict(),
                "anchors": list(self.anchors.values()),
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
