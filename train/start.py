"""The model as it enters a stage."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from crfrnn import CRFRNN, appearance_kernel, smoothness_kernel
from crfrnn.data import SegmentationSet
from crfrnn.data.parts import adjacency, adjacency_penalties
from crfrnn.nets import (
    LEARNED,
    NetworkFunction,
    SegmentationModel,
    label_groups,
    load_imagenet,
    load_tensors,
    model_from_checkpoint,
    start_from,
)
from train.recipes import Crf, Stage
from train.recipes.order import previous
from train.state import Run
from train.validation import some

ADJACENCY_IMAGES = 500


def start_model(run: Run, name: str, init: str | None) -> SegmentationModel:
    """The model stage `name` begins with: that of the stage before it, or a new one.

    Where the stage before has not been run, `init` may be a checkpoint that takes its place. A first stage without one
    begins with random weights, the trunk with those of ImageNet where `init` says so. Raises ValueError where weights do
    not fit, and FileNotFoundError where there are none.
    """
    stage = run.recipe.stages[name]
    torch.manual_seed(run.recipe.seed)
    crf = None if stage.trains == "network" else build_crf(run.recipe.crf, run.dataset)
    model = run.build(stage, crf)
    fresh = {layer: tensor.clone() for layer, tensor in model.network.state_dict().items() if resets(stage, layer)}
    checkpoint = origin(run, name, init)
    if checkpoint is not None:
        continue_from(model, checkpoint, run.dataset.classes, run.functions)
    elif init is not None:
        load_imagenet(model.network, init)
    model.network.load_state_dict(fresh, strict=False)
    freeze(model, stage, name)
    return model.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def origin(run: Run, name: str, init: str | None) -> Path | None:
    """The checkpoint that stage `name` begins from; None for a first stage without one.

    Raises FileNotFoundError where another stage has none.
    """
    before = previous(run.recipe.stages, name)
    own = None if before is None else run.out / f"{before}.pt"
    if own is not None and own.exists():
        return own
    if init is not None and init.endswith(".pt"):
        return Path(init)
    if before is not None:
        raise FileNotFoundError(
            f"stage {name!r} begins where {before!r} ends, and there is no {own}; run {before!r} too, or pass a "
            "checkpoint (FILE.pt) as --init"
        )
    return None


def continue_from(
    model: SegmentationModel, checkpoint: Path, classes: Sequence[str], functions: Sequence[NetworkFunction]
) -> None:
    """Give `model` the weights of a checkpoint: of the same network, or of a coarser stage of it, with or without a CRF.

    A CRF that only one of the two has is left out, or keeps its initial values. Where the checkpoint labels other things
    than `classes`, the scores and the CRF keep theirs, too; where it has more or fewer scores that count as background,
    those of the labels are taken over. `functions` make the networks that it may hold.
    """
    trained, names = model_from_checkpoint(checkpoint, functions)
    others = list(names) != list(classes)
    if others:
        print(
            f"{checkpoint} was trained on other labels ({', '.join(names[:3])}, ...); the scores and the CRF keep their "
            "initial values"
        )
    take_over(model, trained, without_crf=others)
    if others:
        model.network.reset_scores()


def take_over(model: SegmentationModel, trained: SegmentationModel, without_crf: bool = False) -> None:
    """Give `model` the weights of `trained`, as `continue_from` says. Raises ValueError where they do not fit."""
    tensors = trained.state_dict()
    if without_crf:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(("crf.", "guide."))}
    if trained.network.variant != model.network.variant:
        start_from(model.network, trained.network)
        tensors = {
            **{f"network.{name}": tensor for name, tensor in model.network.state_dict().items()},
            **{name: tensor for name, tensor in tensors.items() if name.startswith(("crf.", "guide."))},
        }
    elif trained.extra_labels != model.extra_labels:
        for name in label_groups(model)[0]:
            tensors[name] = grafted(tensors[name], model.state_dict()[name])
    load_tensors(model, tensors, accept_missing=["crf", "guide"], accept_left_over=["crf", "guide"])


def grafted(theirs: Tensor, ours: Tensor) -> Tensor:
    """`ours` with `theirs` in the place that both have, from the first label on."""
    common = tuple(slice(min(sizes)) for sizes in zip(theirs.shape, ours.shape, strict=True))
    result = ours.clone()
    result[common] = theirs[common]
    return result


def freeze(model: SegmentationModel, stage: Stage, name: str) -> None:
    """Freeze the layers that stage `name` freezes, or the whole network where it trains the CRF alone.

    Layers of a module of the user's go by the names it gives them. Raises ValueError where it freezes or resets a layer that
    there is not.
    """
    layers = {layer.removeprefix("module."): each for layer, each in model.network.named_parameters()}
    for field, beginnings in (("freeze", stage.freeze), ("reset", stage.reset)):
        for beginning in beginnings:
            if not any(layer.startswith(beginning) for layer in layers):
                raise ValueError(
                    f"--stages.{name}.{field} has {beginning!r}, but no layer's name begins so; wanted some of "
                    f"{', '.join(dict.fromkeys(layer.split('.')[0] for layer in layers))}"
                )
    for layer, parameter in layers.items():
        if stage.trains == "crf" or (stage.freeze and layer.startswith(stage.freeze)):
            parameter.requires_grad_(False)


def resets(stage: Stage, layer: str) -> bool:
    """Whether a stage resets the layer that a tensor of its network belongs to."""
    return bool(stage.reset) and layer.removeprefix("module.").startswith(stage.reset)


def build_crf(settings: Crf, dataset: SegmentationSet) -> CRFRNN:
    """The CRF-RNN a recipe describes, over the labels of `dataset`."""
    kernels = [
        smoothness_kernel(theta_gamma=settings.theta_gamma, weight=settings.smoothness_weight),
        appearance_kernel(
            theta_alpha=settings.theta_alpha, theta_beta=settings.theta_beta, weight=settings.appearance_weight
        ),
    ]
    if settings.guide_channels:
        # A learned blur has to know how many channels there are, and a tuple of thetas says so.
        theta = (settings.theta_beta,) * settings.guide_channels if settings.learn_filter else settings.theta_beta
        kernels[1] = replace(kernels[1], guide=LEARNED, theta_guide=theta)
    return CRFRNN(
        dataset.num_labels,
        kernels=kernels,
        num_iterations=settings.num_iterations,
        normalization=settings.normalization,
        kernel_weights=settings.kernel_weights,
        compatibility="potts" if settings.compatibility == "potts" else touching_penalties(dataset),
        learn_bandwidths=settings.learn_bandwidths,
        solver=settings.solver,
        damping=settings.damping,
        gradient=settings.gradient,
        learn_filter=settings.learn_filter,
    )


def touching_penalties(dataset: SegmentationSet) -> Tensor:
    """Label penalties [L, L] from which labels touch, on at most `ADJACENCY_IMAGES` images spread over the list."""
    chosen = some(len(dataset), ADJACENCY_IMAGES)
    progress = tqdm(chosen, desc="adjacency", unit="image", disable=len(chosen) <= 50, leave=None)
    return adjacency_penalties(adjacency((dataset[i].labels for i in progress), dataset.num_labels))
