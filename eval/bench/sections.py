"""What `eval.bench.speed` measures: the cases of every section, and the measurement of one case.

The common task is one image at its own size, 21 labels (or those of a given unary), T = 10, smoothness (3; weight 3) and
appearance (weight 10). Each growth section varies one quantity of it with CRF-RNN's (theta_alpha, theta_beta) = (160, 3).
The slower systems skip the largest cases, see `WORK`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.presets import FixedCRF
from eval.bench.peers import (
    MODULES,
    Workload,
    clipped,
    function_for,
    gate,
    gradient_gate,
    why_missing,
    without_compiled_code,
)
from eval.bench.tables import OURS, PLAIN, PYDENSECRF, SEEN, SIMPLECRF
from eval.bench.task import COMMON_SIZE, guide_image, resized, synthetic_unary
from eval.bench.timing import alternate
from eval.inputs.scores_file import read_unary

THETAS = ((80.0, 13.0), (160.0, 3.0))
GROWTH_THETAS = THETAS[1]
COMMON_LABELS, COMMON_ITERATIONS, TRAINING_ITERATIONS = 21, 10, 5
COMMON_CRF = FixedCRF(10, *THETAS[0], 3, 3, COMMON_ITERATIONS, "symmetric")
WORK = {PYDENSECRF: 8.0, PLAIN: 3.0}  # the largest growth cases, in units of the common task


@dataclass(frozen=True)
class Plan:
    """How much is measured: sizes are (height, width)."""

    sizes: tuple[tuple[int, int], ...]
    labels: tuple[int, ...]
    iterations: tuple[int, ...]
    batches: tuple[int, ...]
    memory_sizes: tuple[tuple[int, int], ...]
    budget: float  # seconds per system in a growth case, see `alternate`
    budget_of_pairs: float  # the same for pairs and training


FULL = Plan(
    sizes=((120, 160), (240, 320), (480, 640), (960, 1280), (2160, 3840)),
    labels=(2, 5, 21, 50, 150),
    iterations=(1, 5, 10, 20),
    batches=(1, 2, 4),
    memory_sizes=((480, 640), (960, 1280), (2160, 3840)),
    budget=1.5,
    budget_of_pairs=15.0,
)
QUICK = Plan(
    sizes=((12, 16), (24, 32)),
    labels=(2, 5),
    iterations=(1, 3),
    batches=(1, 2),
    memory_sizes=((12, 16),),
    budget=5.0,
    budget_of_pairs=5.0,
)
QUICK_SIZE = (24, 32)


@dataclass(frozen=True)
class Case:
    """One measurement: a workload, described by its numbers, and (system, threads) for every system that computes it."""

    section: str
    thetas: tuple[float, float]
    size: tuple[int, int]
    labels: int
    iterations: int
    batch: int
    systems: tuple[tuple[str, int], ...]
    clipped: bool = False

    @property
    def work(self) -> float:
        """Pixels x labels x T x images, in units of the common task."""
        unit = prod(COMMON_SIZE) * COMMON_LABELS * COMMON_ITERATIONS
        return prod(self.size) * self.labels * self.iterations * self.batch / unit


@dataclass(frozen=True)
class Inputs:
    """Where images and unaries come from: files; None means a drawn scene and noise."""

    image: Path | None
    unary: Path | None

    def common(self, quick: bool) -> tuple[tuple[int, int], int]:
        """Size (height, width) and labels of the common task."""
        image = guide_image(self.image)
        labels = COMMON_LABELS if self.unary is None else self.logits(None, (2, 2)).shape[1]
        return QUICK_SIZE if quick else (image.shape[2], image.shape[3]), labels

    def logits(self, labels: int | None, size: tuple[int, int]) -> Tensor:
        """Logits [1, L, H, W] from the unary file if it has that number of labels, else synthetic ones."""
        if self.unary is not None:
            unary = read_unary(self.unary, size, None if self.image is None else self.image.stem)
            if labels in (None, unary.shape[1]):
                return unary
        return synthetic_unary(labels or COMMON_LABELS, size)

    def workload(self, case: Case) -> Workload:
        """Input for a case; a batch holds copies of one image, each shifted sideways (cyclically) by another amount."""
        image, unary = resized(guide_image(self.image), case.size), self.logits(case.labels, case.size)
        unary = clipped(unary) if case.clipped else unary
        shifts = [index * case.size[1] // case.batch for index in range(case.batch)]
        moved = [torch.cat([each.roll(shift, -1) for shift in shifts]) for each in (unary, image)]
        alpha, beta = case.thetas
        crf = replace(COMMON_CRF, theta_alpha=alpha, theta_beta=beta, num_iterations=case.iterations)
        return Workload(moved[0], moved[1], crf)


def cases(section: str, plan: Plan, size: tuple[int, int], labels: int, threads: int) -> list[Case]:
    """The cases of a section; `size` (height, width) and `labels` are those of the common task."""
    common = Case(section, GROWTH_THETAS, size, labels, COMMON_ITERATIONS, 1, ((OURS, threads),))
    if section == "pairs":
        counts = sorted({1, threads}, reverse=True)
        ours = [(system, count) for system in (OURS, SEEN, PLAIN) for count in counts]
        simple = [(SIMPLECRF, 1), *((OURS, count) for count in counts)]
        found = [
            replace(common, thetas=thetas, systems=tuple(systems), clipped=(SIMPLECRF, 1) in systems)
            for thetas in THETAS
            for systems in ([*ours, (PYDENSECRF, 1)], simple)
        ]
    elif section == "training":
        found = [
            replace(common, iterations=TRAINING_ITERATIONS, systems=((OURS, count), (PLAIN, count)))
            for count in sorted({1, threads}, reverse=True)
        ]
    elif section == "memory":
        found = [replace(common, thetas=thetas, size=each) for thetas in THETAS for each in plan.memory_sizes]
    else:
        found = {
            "pixels": [replace(common, thetas=thetas, size=each) for thetas in THETAS for each in plan.sizes],
            "labels": [replace(common, labels=each) for each in plan.labels],
            "iterations": [replace(common, iterations=each) for each in plan.iterations],
            "batch": [replace(common, batch=each) for each in plan.batches],
        }[section]
    if section not in ("pairs", "training"):
        others = ((PLAIN, threads), (PYDENSECRF, 1))
        found = [
            replace(case, systems=case.systems + tuple(other for other in others if case.work <= WORK[other[0]]))
            for case in found
        ]
    return [available for case in found if len((available := _without_missing(case)).systems) > 0]


def _without_missing(case: Case) -> Case:
    there = tuple((system, threads) for system, threads in case.systems if why_missing(system) is None)
    alone = case.clipped and SIMPLECRF not in [system for system, _ in there]
    return replace(case, systems=() if alone else there)


def key(system: str, threads: int) -> str:
    """The name of a system with its threads, in tables and JSON."""
    if system in MODULES:
        return system
    return f"{system}, {threads} thread{'s' * (threads > 1)}"


def description(case: Case) -> dict[str, Any]:
    """The numbers of a case as plain values; the size is (width, height), as people write it."""
    return {
        "thetas": list(case.thetas),
        "size": [case.size[1], case.size[0]],
        "labels": case.labels,
        "iterations": case.iterations,
        "batch": case.batch,
    } | ({"beliefs clipped to": [0.01, 0.99]} if case.clipped else {})


def measure(case: Case, inputs: Inputs, repeats: int, budget: float) -> dict[str, Any]:
    """Seconds of whole inference for every system of a case, once all results equal that of our first system."""
    work = inputs.workload(case)
    functions = {key(*system): function_for(system[0], work, system[1]) for system in case.systems}
    reference = key(*next(system for system in case.systems if system[0] == OURS))
    equality: dict[str, dict[str, float]] = {}

    def check(results: Mapping[str, Tensor]) -> None:
        for name in results.keys() - {reference}:
            equality[name] = gate(results[reference], results[name], f"{reference} and {name}")

    timing = alternate(functions, repeats, budget, check)
    return {**description(case), "seconds": timing.seconds, "runs": timing.runs, "equality": equality}


def measure_training(case: Case, inputs: Inputs, repeats: int, budget: float) -> dict[str, Any]:
    """Seconds of forward, and of forward and backward with gradients to the unary and all parameters of the cell."""
    work = inputs.workload(case)
    functions: dict[str, Callable[[], Sequence[Tensor]]] = {}
    for system, threads in case.systems:
        for name, backward in ((FORWARD, False), (BOTH, True)):
            functions[f"{key(system, threads)}{name}"] = training_step(work, threads, system == PLAIN, backward)
    equality: dict[str, dict[str, float]] = {}

    def check(results: Mapping[str, Sequence[Tensor]]) -> None:
        gradients = [results[f"{key(*system)}{BOTH}"] for system in case.systems]
        for system, other in zip(case.systems[1:], gradients[1:], strict=True):
            equality[key(*system)] = gradient_gate(gradients[0], other)

    timing = alternate(functions, repeats, budget, check)
    names = [key(*system) for system in case.systems]
    return {
        **description(case),
        "forward seconds": {name: timing.seconds[name + FORWARD] for name in names},
        "seconds": {name: timing.seconds[name + BOTH] for name in names},
        "runs": {name: timing.runs[name + BOTH] for name in names},
        "equality": equality,
    }


FORWARD, BOTH = ", forward", ", forward and backward"


def training_step(work: Workload, threads: int, plain: bool, backward: bool) -> Callable[[], Sequence[Tensor]]:
    """CRF-RNN's layer in training: forward with a graph, and backward from a fixed gradient of the logits.

    The function returns the gradients of unary, kernel weights and compatibility; nothing without `backward`. The
    smoothness lattice stays from call to call, since all crops of a training run have the same size.
    """
    kernels = [smoothness_kernel(), appearance_kernel(work.crf.theta_alpha, work.crf.theta_beta)]
    crf = CRFRNN(work.unary.shape[1], kernels, work.crf.num_iterations)
    direction = torch.randn(work.unary.shape, generator=torch.Generator().manual_seed(1))

    def run() -> Sequence[Tensor]:
        torch.set_num_threads(threads)
        unary = work.unary.detach().requires_grad_()
        crf.zero_grad(set_to_none=True)
        with without_compiled_code(plain):
            logits = crf(unary, work.image)
            if not backward:
                return []
            logits.backward(direction)
        gradients = [unary.grad, crf.cell.kernel_weights.grad, crf.cell.compatibility.grad]
        return [gradient for gradient in gradients if gradient is not None]

    return run
