"""Learn the parameters of a CRF from the stored scores of a network and the truth, by gradients through mean field.

The alternative to a search. `python -m eval.tuning.learn` is its command; `eval.tuning.ablate` runs it for its cells.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from crfrnn import CRFRNN
from crfrnn._files import load_torch, replacing
from crfrnn.data import VOID
from eval.inputs.flags import check_counts, check_not_negative
from eval.tuning.scored_images import ScoredImage
from eval.tuning.variants import Variant

SAVE_EVERY = 20  # steps


@dataclass(frozen=True)
class Learning:
    """Adam on whole images, one per pass; the rates fall linearly to zero."""

    steps: int = 200
    """steps of learning"""
    batch_size: int = 1
    """images per step"""
    kernel_weight_lr: float = 0.05
    """first rate of the kernel weights"""
    compatibility_lr: float = 0.02
    """first rate of the compatibility"""
    bandwidth_lr: float = 0.02
    """first rate of the logarithms of the bandwidths"""
    blur_lr: float = 0.02
    """first rate of the logarithms of the side weights of a blur"""


def fit(
    variant: Variant,
    images: Sequence[ScoredImage],
    num_labels: int,
    learning: Learning,
    *,
    seed: int,
    last: Path,
    quiet: bool = False,
) -> tuple[CRFRNN, list[float]]:
    """The CRF of `variant`, learned on `images`, and the loss of every step (cross-entropy per pixel).

    Args:
        seed: of the order of the images.
        last: the file where the state is kept meanwhile. An interrupted fit continues from there. The caller removes it
            once the result is saved.
        quiet: without a progress bar.

    Raises ValueError for settings that make no sense, and FloatingPointError where the loss is not finite.
    """
    if learning.steps < 0 or learning.batch_size < 1 or variant.start.num_iterations < 1:
        raise ValueError(
            f"got {learning.steps} steps of {learning.batch_size} images with {variant.start.num_iterations} iterations; "
            "wanted 0 or more steps, 1 or more images, and 1 or more iterations"
        )
    crf = variant.build(num_labels)
    groups = parameter_groups(crf, learning)
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    description = {"variant": _plain(variant), "learning": _plain(learning), "seed": seed}
    losses = _resume(last, crf, optimizer, description)
    symmetric = variant.compatibility == "symmetric"
    with crf.cell.compatibility.register_hook(_symmetric) if symmetric else nullcontext():
        for step in tqdm(
            range(len(losses), learning.steps), "learning", disable=quiet, initial=len(losses), leave=None
        ):
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * (1 - step / learning.steps)
            optimizer.zero_grad()
            losses.append(_step(crf, [images[i] for i in batch(len(images), step, learning.batch_size, seed)]))
            optimizer.step()
            if len(losses) % SAVE_EVERY == 0:
                state = {"crf": crf.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}
                with replacing(last) as partial:
                    torch.save(state | description, partial)
    return crf.requires_grad_(False), losses


def check_learning(learning: Learning) -> None:
    """Raise ValueError, naming the flag, where a number of `learning` is out of range."""
    check_counts(0, steps=learning.steps)
    check_counts(1, batch_size=learning.batch_size)
    rates = {name: value for name, value in asdict(learning).items() if name.endswith("_lr")}
    check_not_negative(**rates)


def parameter_groups(crf: CRFRNN, learning: Learning) -> list[dict[str, Any]]:
    """The parameters to learn, each with its rate. Kernel weights are always among them."""
    kinds = [
        (learning.kernel_weight_lr, [crf.cell.kernel_weights]),
        (learning.compatibility_lr, [crf.cell.compatibility]),
        (learning.bandwidth_lr, list(crf.log_bandwidth_scales)),
        (learning.blur_lr, list(crf.log_side_scales)),
    ]
    groups = []
    for rate, parameters in kinds:
        wanted = [parameter for parameter in parameters if parameter.requires_grad]
        if wanted:
            groups.append({"params": wanted, "lr": rate, "base_lr": rate})
    return groups


def batch(count: int, step: int, size: int, seed: int) -> list[int]:
    """The images of a step, by their numbers below `count`: shuffled again in every epoch, from the seed alone."""
    positions = range(step * size, (step + 1) * size)
    return [int(np.random.default_rng([seed, p // count]).permutation(count)[p % count]) for p in positions]


def _step(crf: CRFRNN, images: Sequence[ScoredImage]) -> float:
    """Gradients of the mean loss over `images`; returns the loss."""
    total = 0.0
    for scored in images:
        loss = pixel_loss(crf(scored.unary, scored.image), scored.truth)
        if not loss.isfinite():
            raise FloatingPointError(f"the loss is {loss.item()} at image {scored.name}; lower the rates of learning")
        (loss / len(images)).backward()
        total += loss.item() / len(images)
    return total


def pixel_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of logits [1, L, H, W] per pixel of `truth` [H, W] that is not void; 0 where all are."""
    total = F.cross_entropy(logits, truth[None].long(), ignore_index=VOID, reduction="sum")
    return total / (truth != VOID).sum().clamp(min=1)


def _symmetric(gradient: Tensor) -> Tensor:
    """The gradient with mirrored entries made equal, so that Adam keeps a symmetric compatibility symmetric."""
    return (gradient + gradient.T) / 2


def _resume(last: Path, crf: CRFRNN, optimizer: torch.optim.Optimizer, description: dict[str, Any]) -> list[float]:
    """The losses so far, after bringing layer and optimizer to where an interrupted fit stood, if there was one."""
    if not last.exists():
        return []
    state = load_torch(last, "state of a fit")
    try:
        same = all(state[name] == value for name, value in description.items())
        if same:
            crf.load_state_dict(state["crf"])
            optimizer.load_state_dict(state["optimizer"])
            return [float(loss) for loss in state["losses"]]
    except (LookupError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{last} is damaged, or no state of a fit ({error}); remove it to begin again") from error
    raise ValueError(f"{last} is from a fit with other settings; remove it, or choose another folder")


def _plain(settings: Variant | Learning) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}
