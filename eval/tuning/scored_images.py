"""What the parameters of a CRF are searched, learned and compared on: images with their truth and a network's scores.

The scores come from files, so that a network of any making will do, or from a checkpoint of this project's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import tyro
from torch import Tensor

from crfrnn.data import VOID, SegmentationSet, allowed_labels, open_set, source_of
from crfrnn.folders import Folders
from crfrnn.nets import SegmentationModel, restrict
from eval.inputs.checkpoints import check_labels, load_model, open_for
from eval.inputs.flags import check_counts
from eval.inputs.scores_file import read_arrays, read_unary, unary_among
from eval.scoring.record import fingerprint

ENDINGS = (".npy", ".npz")


class ScoredImage(NamedTuple):
    """An image with its truth and the scores of a network.

    Attributes:
        unary: the scores, float32 [1, L, H, W], logits.
        image: RGB, float32 [1, 3, H, W] in 0..255.
        truth: labels, uint8 [H, W], 255 for void.
    """

    unary: Tensor
    image: Tensor
    truth: Tensor
    name: str


@dataclass(frozen=True)
class ScoreSource:
    """Which images, and whose scores of them."""

    data: Path | None = None
    """folder of the data set (VOCdevkit, or MSRC-21), or the folders.json of a run"""
    unaries: Path | None = None
    """scores of a network: one .npz for all images, or a folder with an .npy or .npz for each, as NAME.npy; the arrays
    are those of eval/inputs/scores_file.py, for example logits [L, h, w] of any size h x w"""
    checkpoint: Path | None = None
    """a model whose network gives the scores, in place of --unaries"""
    network: str | None = None
    """the function of yours that makes the network of the checkpoint, where it is not a built-in one, as in training"""
    split: Annotated[str, tyro.conf.arg(name="list")] = "val"
    """list of images: a name in ImageSets/Segmentation, or a file; in folders, train, val or all"""
    sample: int | None = 100
    """how many images of the list to draw at random; None for all"""
    draw: int = 10
    """seed of that draw"""
    folders: Annotated[Folders, tyro.conf.arg(name="")] = field(default_factory=Folders)

    def scores_fingerprint(self) -> str | None:
        """Of the content of the scores, or of the model that makes them; None for neither. Raises FileNotFoundError."""
        path = self.unaries or self.checkpoint
        return None if path is None else fingerprint(path)


class ScoredImages(Sequence[ScoredImage]):
    """The images that `source` draws from its list; with `rest`, those that it leaves over.

    Goes from process to process as a description alone; scores are read where they are asked for.

    Attributes:
        classes: the names of the labels.
        names: of the images.

    Raises FileNotFoundError or ValueError for data or scores that are missing or do not fit.
    """

    def __init__(self, source: ScoreSource, rest: bool = False) -> None:
        if (source.unaries is None) == (source.checkpoint is None):
            raise ValueError("wanted one of --unaries and --checkpoint: where the scores of the network come from")
        if source.network is not None and source.checkpoint is None:
            raise ValueError(
                f"--network is {source.network}, and there is no --checkpoint that could hold it; leave it out"
            )
        check_counts(0, draw=source.draw)
        self.source = source
        self._dataset = (
            open_set(source_of(source.data, source.folders), source.split)
            if source.checkpoint is None
            else open_for(source.checkpoint, source.data, source.split, source.folders)
        )
        self.indices = drawn(len(self._dataset), source.sample, source.draw, rest)
        self.classes = self._dataset.classes
        self.names = [self._dataset.names[index] for index in self.indices]
        self._arrays: Mapping[str, np.ndarray] | None = None
        self._model: SegmentationModel | None = None
        if source.unaries is not None:
            check_scores(source.unaries, self.names)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, number: int) -> ScoredImage:  # type: ignore[override]
        index = self.indices[number]
        sample = self._dataset[index]
        image = sample.image[None].float()
        unary = self._unary(index, sample.name, image)
        check_unary(unary, sample.name, self._dataset)
        return ScoredImage(unary, image, sample.labels, sample.name)

    def labels(self) -> set[int]:
        """The labels that the truth of the images holds."""
        found = torch.zeros(VOID + 1, dtype=torch.bool)
        for index in self.indices:
            found[self._dataset[index].labels.long()] = True
        return set(found[:VOID].nonzero().flatten().tolist())

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_arrays": None, "_model": None}

    @torch.no_grad()
    def _unary(self, index: int, name: str, image: Tensor) -> Tensor:
        if self.source.checkpoint is not None:
            if self._model is None:
                model, classes = load_model(self.source.checkpoint, self.source.network)
                check_labels(self.source.checkpoint, classes, self._dataset)
                self._model = model.eval()
            device = next(self._model.parameters()).device
            unary = self._model.unary(image.to(device))
            return restrict(unary, allowed_labels(self._dataset, index)).cpu()
        assert self.source.unaries is not None
        size = (image.shape[2], image.shape[3])
        if self.source.unaries.is_dir():
            return read_unary(score_file(self.source.unaries, name), size, name)
        if self._arrays is None:
            self._arrays = read_arrays(self.source.unaries)
        return unary_among(self._arrays, self.source.unaries, size, name)


def drawn(total: int, count: int | None, seed: int, rest: bool = False) -> list[int]:
    """`count` of the numbers below `total` (None: all) at random, in order; with `rest` the others.

    Raises ValueError where there are not as many, or none would be left.
    """
    count = total if count is None else count
    if not 0 < count <= total or (rest and count == total):
        left = ", with some left over" if rest else ""
        raise ValueError(f"--sample is {count}; wanted 1 or more of the {total} images in the list{left}")
    order = np.random.default_rng(seed).permutation(total).tolist()
    return sorted(order[count:] if rest else order[:count])


def score_file(folder: Path, name: str) -> Path:
    """The file with the scores of an image. Raises FileNotFoundError where there is none."""
    for ending in ENDINGS:
        if (folder / f"{name}{ending}").is_file():
            return folder / f"{name}{ending}"
    raise FileNotFoundError(f"{folder} holds neither {name}.npy nor {name}.npz, the scores of an image in the list")


def check_scores(unaries: Path, names: Sequence[str]) -> None:
    """Raise FileNotFoundError or ValueError where an image has no scores, before any work has been done."""
    if unaries.is_dir():
        for name in names:
            score_file(unaries, name)
        return
    arrays = read_arrays(unaries)
    if "names" not in arrays or "logits" not in arrays:
        raise ValueError(f"{unaries} holds {sorted(arrays)}; wanted 'names' and 'logits' of many images")
    missing = sorted(set(names) - set(arrays["names"].tolist()))
    if missing:
        raise ValueError(f"{unaries} has no scores for {len(missing)} of the {len(names)} images, as {missing[0]!r}")


def check_unary(unary: Tensor, name: str, dataset: SegmentationSet) -> None:
    """Raise ValueError where scores do not fit the labels of the set, or are not finite."""
    if unary.shape[1] != dataset.num_labels:
        raise ValueError(
            f"the scores of {name} are over {unary.shape[1]} labels, the data set has {dataset.num_labels}; wanted one "
            "score for each label, in the order of the set"
        )
    if not unary.isfinite().all():
        raise ValueError(f"the scores of {name} are not all finite; wanted logits, -30 or so for an impossible label")
