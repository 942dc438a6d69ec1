"""The systems of a comparison: networks, run or with stored scores, alone and followed by a CRF."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from crfrnn.data import Sample, SegmentationSet
from crfrnn.nets import infer
from crfrnn.presets import FixedCRF
from eval.inputs.checkpoints import check_labels, load_model
from eval.inputs.scores_file import read_arrays, unary_among
from eval.scoring.methods import Method, label_rows, network_alone, with_crf


@dataclass(frozen=True)
class System:
    """A network and the ways of labeling with its scores, each of which is a column of the comparison.

    Attributes:
        unary: (sample, RGB image [1, 3, H, W] in 0..255) -> logits [1, L, H, W].
        methods: their rows are the columns of a comparison.
        device: where images go.
    """

    unary: Callable[[Sample, Tensor], Tensor]
    methods: tuple[Method, ...]
    device: torch.device

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(row for method in self.methods for row in method.rows)

    @torch.no_grad()
    def labels(self, sample: Sample) -> dict[str, Tensor]:
        """The labels of every column, uint8 [H, W] on the CPU."""
        image = sample.image[None].to(self.device, torch.float32)
        return label_rows(self.methods, self.unary(sample, image), image)


def from_checkpoint(
    name: str, path: Path, dataset: SegmentationSet, dense: FixedCRF, network: str | None = None
) -> System:
    """The network of a checkpoint, followed by the fixed dense CRF, and followed by its own CRF-RNN where it has one.

    Columns begin with `name`, if it is not empty. `network` and what is raised are as of `load_model`, and ValueError
    where its labels are not those of `dataset`.
    """
    model, classes = load_model(path, network)
    check_labels(path, classes, dataset)
    device = next(model.parameters()).device
    methods = [network_alone(_title(name, "network alone")), _dense(name, dense, dataset.num_labels, device)]
    if model.layer is not None:
        methods.append(with_crf(model.layer, {10: _title(name, "CRF-RNN")}))
    return System(lambda sample, image: infer(model, image, 0), tuple(methods), device)


def from_scores(name: str, path: Path, dataset: SegmentationSet, dense: FixedCRF) -> System:
    """Stored scores of many images in one file, alone and followed by the fixed dense CRF. Raises as `read_arrays`.

    Columns begin with `name`, if it is not empty.
    """
    arrays = read_arrays(path)

    def unary(sample: Sample, image: Tensor) -> Tensor:
        scores = unary_among(arrays, path, (image.shape[2], image.shape[3]), sample.name)
        if scores.shape[1] != dataset.num_labels:
            raise ValueError(
                f"{path} has {scores.shape[1]} labels, the data set {dataset.num_labels}; wanted equal numbers"
            )
        return scores

    cpu = torch.device("cpu")
    alone = network_alone(_title(name, "network alone"))
    return System(unary, (alone, _dense(name, dense, dataset.num_labels, cpu)), cpu)


def _dense(name: str, dense: FixedCRF, num_labels: int, device: torch.device) -> Method:
    return with_crf(dense.build(num_labels).to(device), {dense.num_iterations: _title(name, "network + dense CRF")})


def _title(name: str, what: str) -> str:
    """The title of a column: what it shows, after the name of its system where it has one."""
    return f"{name}: {what}" if name else what


def check_columns(systems: Sequence[System], wanted: Sequence[str]) -> list[str]:
    """The columns to show: those `wanted`, or all. Raises ValueError for unknown ones, and for two of one name."""
    columns = [column for system in systems for column in system.columns]
    if len(set(columns)) < len(columns):
        raise ValueError(f"got the columns {columns}; wanted different names: --checkpoints NAME=FILE gives one")
    unknown = [name for name in wanted if name not in columns]
    if unknown:
        raise ValueError(f"there is no column {unknown[0]!r}; the columns are {', '.join(map(repr, columns))}")
    return list(wanted) or columns
