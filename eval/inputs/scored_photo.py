"""A photograph with the scores of a network for it, and the CRF that follows them: run from a checkpoint, or stored."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from crfrnn import CRFRNN
from crfrnn.data import VOC_CLASSES, FolderSet, read_image, read_labels
from crfrnn.data.folders import given_names, mask_of, read_folder_set, source_of
from crfrnn.folders import Folders
from crfrnn.nets import GuidedCRF, infer
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
    crf: CRFRNN | GuidedCRF
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
    truth: Path | None,
    data: Path | None,
    folders: Folders,
) -> ScoredPhoto:
    """The photograph `image` with the scores of the model in `checkpoint`, or those stored for its name in `scores`.

    Args:
        dense_crf: the CRF where the checkpoint has none.
        network: see `load_model`.
        truth: a mask of the photograph.
        data: instead of it, the folders.json of a run, in whose masks that of the photograph is found by its name.
        folders: likewise. Its classes alone name the labels in `scores`, which are otherwise those of VOC.

    Raises OSError or ValueError where one of the files is missing or does not fit the others.
    """
    # A mask and stored scores are of the pixels as they lie in the file; a photograph alone may be turned upright.
    alone = truth is None and scores is None and not has_folders(data, folders)
    photo = read_photo(image) if alone else read_image(image)
    if scores is None:
        assert checkpoint is not None
        model, names = load_model(checkpoint, network)
        mask = read_truth(image.stem, truth, folders_of(data, folders, names), names, photo)
        device = next(model.parameters()).device
        unary = infer(model, photo[None].to(device, torch.float32), 0)
        return ScoredPhoto(photo, unary, model.layer or dense_crf.build(len(names)).to(device), names, mask)
    source = folders_of(data, folders)
    labels = source.classes if source is not None else given_names(folders.classes) or VOC_CLASSES
    mask = read_truth(image.stem, truth, source, labels, photo)
    unary = read_unary(scores, (photo.shape[1], photo.shape[2]), image.stem)
    if unary.shape[1] != len(labels):
        raise ValueError(
            f"{scores} has {unary.shape[1]} labels, and there are {len(labels)} names; name its labels with --classes"
        )
    return ScoredPhoto(photo, unary, dense_crf.build(len(labels)), labels, mask)


def has_folders(data: Path | None, folders: Folders) -> bool:
    """Whether the options name a data set in folders; --classes alone names none."""
    return data is not None or replace(folders, classes=()) != Folders()


def folders_of(data: Path | None, folders: Folders, classes: Sequence[str] = ()) -> FolderSet | None:
    """The data set in folders that the options name, with `classes` where they name no labels; None where they name none."""
    if not has_folders(data, folders):
        return None
    source = source_of(data, folders, classes)
    if not isinstance(source, Path):
        return source
    if source.suffix != ".json":
        raise ValueError(f"--data is {source}; wanted the folders.json of a run, or --truth with the mask itself")
    return read_folder_set(source)


def read_truth(
    name: str, path: Path | None, source: FolderSet | None, classes: Sequence[str], photo: Tensor
) -> Tensor | None:
    """The mask [H, W] of a photograph [3, H, W]: in `path`, or in `source` by its name; None where neither is given.

    Raises ValueError where both are given, where its size is another or it has other labels than `classes`, and as
    `read_labels` and `mask_of`.
    """
    if source is not None and path is not None:
        raise ValueError(f"--truth {path} and a data set in folders were given; wanted one of the two")
    if source is not None and source.classes != tuple(classes):
        raise ValueError(
            f"the masks have the labels {', '.join(source.classes)}, the scores {', '.join(classes)}; wanted the same ones"
        )
    if source is not None:
        truth = mask_of(source, name)
    elif path is not None:
        truth = read_labels(path)
    else:
        return None
    if truth.shape != photo.shape[1:]:
        sizes = [f"{each.shape[-1]} x {each.shape[-2]}" for each in (truth, photo)]
        raise ValueError(
            f"{path or f'the mask of {name}'} is {sizes[0]}, the photograph {sizes[1]} (width x height); wanted the mask "
            "of this one"
        )
    return truth
