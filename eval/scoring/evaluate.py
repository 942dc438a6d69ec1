"""Score several ways of labeling on a set; each image is read, and run through the network, only once."""

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from tqdm import tqdm

from crfrnn.data import Sample, SegmentationSet, allowed_labels
from crfrnn.nets import SegmentationModel, restrict
from crfrnn.nets.assembly import Forward
from eval.scoring.methods import Method, label_rows
from eval.scoring.metrics import Confusion, Scores

Observer = Callable[[Sample, Tensor, dict[str, Tensor]], None]
"""(sample, unary [1, L, H, W], labels of every row, uint8 [H, W] on the CPU)"""


def evaluate(
    model: SegmentationModel,
    dataset: SegmentationSet,
    methods: Sequence[Method],
    *,
    indices: Sequence[int] | None = None,
    observer: Observer | None = None,
    network: Forward | None = None,
) -> dict[str, Scores]:
    """Scores of every row of `methods`, all over the unaries of `model`; arguments and errors as of `confusions`."""
    counted = confusions(model, dataset, methods, indices=indices, observer=observer, network=network)
    return {row: confusion.scores() for row, confusion in counted.items()}


def confusions(
    model: SegmentationModel,
    dataset: SegmentationSet,
    methods: Sequence[Method],
    *,
    indices: Sequence[int] | None = None,
    observer: Observer | None = None,
    network: Forward | None = None,
) -> dict[str, Confusion]:
    """The confusion matrix of every row of `methods`, all over the unaries of `model`.

    Images are labeled one at a time and at their own size, in float32 on the device of the model; CRFs in `methods` have
    to be on the same device. The model is in evaluation mode meanwhile. In a distributed run (torch.distributed is
    initialized) each process takes its share of the images, and all get the counts of the whole.

    Args:
        indices: which images of the set; all by default.
        observer: called after every image of this process.
        network: called in place of that of the model.

    Raises:
        ValueError: two rows have the same name, there is no image, model and set differ in their numbers of labels, or
            scores are not finite; and whatever reading an image raises.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    rows = [row for method in methods for row in method.rows]
    if len(set(rows)) < len(rows) or not rows:
        raise ValueError(f"got the rows {rows}; wanted at least one, with different names")
    counted = {row: Confusion(dataset.classes) for row in rows}
    own = (range(len(dataset)) if indices is None else indices)[rank::world]
    was_training = model.training
    model.eval()
    try:
        for index in tqdm(own, desc="evaluating", unit="image", disable=rank > 0, leave=None):
            sample = dataset[index]
            image = sample.image[None].to(next(model.parameters()).device, torch.float32)
            unary = _unary(model, image, sample.name, dataset.num_labels, allowed_labels(dataset, index), network)
            with torch.no_grad():
                labels = label_rows(methods, unary, image)
            for row, confusion in counted.items():
                confusion.update(labels[row], sample.labels)
            if observer is not None:
                observer(sample, unary, labels)
    finally:
        model.train(was_training)
    if world > 1:
        for confusion in counted.values():
            confusion.merge()
    return counted


# Not inference_mode: a CRF keeps some of what it computes here, and a later training step must be able to use it.
@torch.no_grad()
def _unary(
    model: SegmentationModel,
    image: Tensor,
    name: str,
    num_labels: int,
    allowed: Tensor | None,
    network: Forward | None,
) -> Tensor:
    """The logits [1, L, H, W] of one image, with those of impossible labels replaced."""
    unary = model.unary(image, network)
    if unary.shape[1] != num_labels:
        raise ValueError(f"the model has {unary.shape[1]} labels, the data set {num_labels}; wanted equal numbers")
    if not unary.isfinite().all():
        raise ValueError(f"the network's scores of {name} are not all finite; its training has diverged")
    return restrict(unary, allowed)


def all_of(*observers: Observer) -> Observer:
    """An observer that calls others in their order."""

    def observer(sample: Sample, unary: Tensor, labels: dict[str, Tensor]) -> None:
        for each in observers:
            each(sample, unary, labels)

    return observer


def evenly_spaced(names: Sequence[str], count: int) -> list[str]:
    """`count` of `names`, evenly spaced; all where there are fewer."""
    count = min(count, len(names))
    return [names[i * len(names) // count] for i in range(count)]
