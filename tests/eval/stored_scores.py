"""Scores of a network for the images of the `voc` fixture: right with noise, on cells of four pixels."""

from pathlib import Path

import numpy as np
import torch.nn.functional as F

from crfrnn.data import VOID, VOCSegmentation


def logits(voc: Path) -> dict[str, np.ndarray]:
    """Float32 [3, h, w] by the name of the image."""
    random = np.random.default_rng(1)
    scores = {}
    for sample in VOCSegmentation(voc, "val"):
        labels = sample.labels.long().clone()
        labels[labels == VOID] = 0
        truth = F.avg_pool2d(F.one_hot(labels, 3).permute(2, 0, 1).float(), 4).numpy()
        scores[sample.name] = (3 * truth + random.normal(size=truth.shape)).astype(np.float32)
    return scores


def write_folder(voc: Path, folder: Path) -> Path:
    """The scores as a folder of arrays, .npy and .npz in turn."""
    folder.mkdir()
    for i, (name, scores) in enumerate(logits(voc).items()):
        if i % 2:
            np.savez(folder / f"{name}.npz", logits=scores)
        else:
            np.save(folder / f"{name}.npy", scores)
    return folder


def write_archive(voc: Path, path: Path) -> Path:
    """The scores in one file, cut to a common size."""
    arrays = [scores.transpose(1, 2, 0)[:5, :6] for scores in logits(voc).values()]
    np.savez(path, names=list("abcd"), logits=np.stack(arrays))
    return path
