"""A photograph with the scores of a network for it, and the CRF that follows them: run from a checkpoint, or stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from crfrnn import CRFRNN
from crfrnn.data import VOC_CLASSES, read_image, read_labels
from crfrnn.nets import infer
from crfrnn.presets import FixedCRF
from eval.inputs.checkpoints import load_model
from eval.inputs.photos import read_photo
from eval.inputs.scores_file import read_unary


@dataclass(frozen=True, eq=False)
class ScoredPhoto:
    """One photograph and all that mean field on it needs.

    Attributes:
        photo: uint8 [3, H, W].
        unary: logits [1, L, H, W], on the device of `crf`.
        classes: names of the labels.
        truth: labels [H, W], 255 for void, where there is a mask.
    """

    photo: Tensor
    unary: Tensor
    crf: CRFRNN
    classes: Sequence[str]
    truth: Tensor | None


def check_source(checkpoint: Path | None, scores: Path | None, network: str | None) -> None:
    """Raise ValueError where not exactly one of --checkpoint and --scores is given, or --network without the first."""
    if (checkpoint is None) == (scores is None):
        raise ValueError("wanted either --checkpoint or --scores: a network to run, or the stored scores of one")
    if network is not None and checkpoint is None:
        raise ValueError(f"--network is {network}, and there is no --checkpoint that could hold it; leave it out")


def read_scored_photo(
    image: Path,
    dense_crf: FixedCRF,
    *,
    checkpoint: Path | None,
    network: str | None,
    scores: Path | None,
    classes: Sequence[str],
    truth: Path | None,
) -> ScoredPhoto:
    """The photograph `image` with the scores of the model in `checkpoint`, or those stored for its name in `scores`.

    Args:
        dense_crf: the CRF where the checkpoint has none.
        network: see `load_model`.
        classes: names of the labels in `scores`; VOC's where there are none.
        truth: a mask of the photograph.

    Raises OSError or ValueError where one of the files is missing or does not fit the others.
    """
    # A mask and stored scores are of the pixels as they lie in the file; a photograph alone may be turned upright.
    photo = read_photo(image) if truth is None and scores is None else read_image(image)
    mask = None if truth is None else read_truth(truth, photo)
    if scores is None:
        assert checkpoint is not None
        model, names = load_model(checkpoint, network)
        device = next(model.parameters()).device
        unary = infer(model, photo[None].to(device, torch.float32), 0)
        return ScoredPhoto(photo, unary, model.crf or dense_crf.build(len(names)).to(device), names, mask)
    unary = read_unary(scores, (photo.shape[1], photo.shape[2]), image.stem)
    labels = classes or VOC_CLASSES
    if unary.shape[1] != len(labels):
        raise ValueError(
            f"{scores} has {unary.shape[1]} labels, and there are {len(labels)} names; name its labels with --classes"
        )
    return ScoredPhoto(photo, unary, dense_crf.build(len(labels)), labels, mask)


def read_truth(path: Path, photo: Tensor) -> Tensor:
    """The mask [H, W] of a photograph [3, H, W]. Raises ValueError where its size is another, and as `read_labels`."""
    truth = read_labels(path)
    if truth.shape != photo.shape[1:]:
        sizes = [f"{each.shape[-1]} x {each.shape[-2]}" for each in (truth, photo)]
        raise ValueError(
            f"{path} is {sizes[0]}, the photograph {sizes[1]} (width x height); wanted the mask of this one"
        )
    return truth
