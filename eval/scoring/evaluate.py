"""Score several ways of labeling on a set; each image is read, and run through the network, only once."""

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from tqdm import tqdm

from crfrnn.data import Sample, SegmentationSet, allowed_labels
from crfrnn.nets import SegmentationModel, restrict
from eval.scoring.methods import Method, label_rows
from eval.scoring.metrics import Confusion, Scores

Observer = Callable[[Sample, dict[str, Tensor]], None]


def evaluate(
    model: SegmentationModel,
    dataset: SegmentationSet,
    methods: Sequence[Method],
    *,
    indices: Sequence[int] | None = None,
    observer: Observer | None = None,
) -> dict[str, Scores]:
    """Scores of every row of `methods`, all over the unaries of `model`.

    Images are labeled one at a time and at their own size, in float32 on the device of the model; CRFs in `methods` have
    to be on the same device. The model is in evaluation mode meanwhile. In a distributed run (torch.distributed is
    initialized) each process takes its share of the images, and all get the scores of the whole.

    Args:
        indices: which images of the set; all by default.
        observer: called after every image of this process with the sample and the labels of every row, uint8 [H, W] on
            the CPU.

    Raises:
        ValueError: two rows have the same name, there is no image, model and set differ in their numbers of labels, or
            scores are not finite; and whatever reading an image raises.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    rows = [row for method in methods for row in method.rows]
    if len(set(rows)) < len(rows) or not rows:
        raise ValueError(f"got the rows {rows}; wanted at least one, with different names")
    confusions = {row: Confusion(dataset.classes) for row in rows}
    own = (range(len(dataset)) if indices is None else indices)[rank::world]
    was_training = model.training
    model.eval()
    try:
        for index in tqdm(own, desc="evaluating", unit="image", disable=rank > 0, leave=None):
            sample = dataset[index]
            labels = _label(model, methods, sample, dataset.num_labels, allowed_labels(dataset, index))
            for row, confusion in confusions.items():
                confusion.update(labels[row], sample.labels)
            if observer is not None:
                observer(sample, labels)
    finally:
        model.train(was_training)
    if world > 1:
        for confusion in confusions.values():
            confusion.merge()
    return {row: confusion.scores() for row, confusion in confusions.items()}


# Not inference_mode: a CRF keeps some of what it computes here, and a later training step must be able to use it.
@torch.no_grad()
def _label(
    model: SegmentationModel, methods: Sequence[Method], sample: Sample, num_labels: int, allowed: Tensor | None
) -> dict[str, Tensor]:
    """The labels of every row for one image, uint8 [H, W] on the CPU."""
    image = sample.image[None].to(next(model.parameters()).device, torch.float32)
    unary = model.unary(image)
    if unary.shape[1] != num_labels:
        raise ValueError(f"the model has {unary.shape[1]} labels, the data set {num_labels}; wanted equal numbers")
    if not unary.isfinite().all():
        raise ValueError(f"the network's scores of {sample.name} are not all finite; its training has diverged")
    unary = restrict(unary, allowed)
    return label_rows(methods, unary, image)


def evenly_spaced(names: Sequence[str], count: int) -> list[str]:
    """`count` of `names`, evenly spaced; all where there are fewer."""
    count = min(count, len(names))
    return [names[i * len(names) // count] for i in range(count)]
