"""The cells of an ablation: what they are, how they are run, and where they are kept."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from crfrnn import CRFRNN
from crfrnn._files import claim, read_json, replacing
from eval.inputs.checkpoints import load_model
from eval.inputs.crf_file import UNFIT, read_crf, write_crf
from eval.scoring.counts import ImageCounts, counts_path, matrices
from eval.scoring.metrics import Scores, comparable_scores, most_likely
from eval.scoring.record import fingerprint
from eval.tuning.fit import Learning, fit
from eval.tuning.scored_images import ScoredImages, ScoreSource
from eval.tuning.search_grid import numbers
from eval.tuning.variants import Variant

SETTINGS = "settings.json"


@dataclass(frozen=True)
class Learned:
    """A CRF that is learned for the ablation."""

    variant: Variant
    seed: int

    @property
    def values(self) -> dict[str, Any]:
        """The value on every axis except the seeds."""
        variant, start = self.variant, self.variant.start
        return {
            "train T": start.num_iterations if variant.gradient == "unrolled" else "converged",
            "kernels": variant.kernels,
            "kernel_weights": variant.kernel_weights,
            "compatibility": variant.compatibility,
            "normalization": start.normalization,
            "bandwidths": variant.bandwidths,
            "solver": variant.solver,
            "damping": str(variant.damping),
        }

    @property
    def key(self) -> str:
        """The name of its files."""
        iterations, *others = self.values.values()
        start = [f"{value:g}" for value in numbers(self.variant.start)]
        # What was learned before there were solvers to choose from keeps its name.
        others = [value for value in others if value not in ("mean_field", "0.0")]
        return "-".join([f"T{iterations}", *others, *start, f"seed{self.seed}"])


@dataclass(frozen=True)
class Ready:
    """A model that was trained before."""

    checkpoint: Path
    seed: int

    @property
    def values(self) -> dict[str, Any]:
        return {"training": self.checkpoint.stem}

    @cached_property
    def key(self) -> str:
        return f"checkpoint-{self.checkpoint.stem}-{fingerprint(self.checkpoint)}"


AnyCell = Learned | Ready


class Cells:
    """The files of finished and unfinished cells in a folder, and the `settings` that all of them share.

    Raises ValueError where the folder holds cells with other settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder, self.settings = folder, settings
        claim(folder / SETTINGS, settings)

    def path(self, cell: AnyCell, ending: str) -> Path:
        return self.folder / f"{cell.key}.{ending}"

    def has(self, cell: AnyCell) -> bool:
        """Whether the cell is finished, with counts of single images, which earlier versions did not keep."""
        path = self.path(cell, "json")
        return path.exists() and counts_path(path).exists()

    def add(self, cell: AnyCell, counts: ImageCounts) -> None:
        """Keep the counts after T = 0, 1, ... iterations, which are their rows: of every image, and their sums."""
        content = {"classes": list(counts.classes), "counts": [counts.total(row).tolist() for row in counts.rows]}
        path = self.path(cell, "json")
        counts.write(path)
        with replacing(path) as partial:
            partial.write_text(json.dumps(content), encoding="utf-8")

    def counts(self, cell: AnyCell) -> ImageCounts:
        """Of every image. Raises as `ImageCounts.read`."""
        return ImageCounts.read(self.path(cell, "json"))

    def scores(self, cell: AnyCell) -> list[Scores]:
        """Scores after T = 0, 1, ... iterations."""
        path = self.path(cell, "json")
        content = read_json(path)
        try:
            return [comparable_scores(torch.tensor(counts), content["classes"]) for counts in content["counts"]]
        except UNFIT as error:
            raise ValueError(f"{path} holds no finished cell ({error}); remove it to run the cell again") from error


class Running:
    """Runs a cell: learns its CRF, if it is not trained yet, and counts labels on the test images after every iteration."""

    def __init__(
        self, source: ScoreSource, learning: Learning, kept: Cells, test_images: int | None, quiet: bool
    ) -> None:
        self.source, self.learning, self.kept, self.test_images, self.quiet = source, learning, kept, test_images, quiet

    @cached_property
    def train(self) -> ScoredImages:
        return ScoredImages(self.source)

    @cached_property
    def test(self) -> ScoredImages:
        return ScoredImages(self.source, rest=True)

    def __call__(self, cell: AnyCell) -> None:
        if isinstance(cell, Learned):
            images, crf = self.test, self.learned(cell)
        else:
            model, _ = load_model(cell.checkpoint, self.source.network)
            assert model.crf is not None  # `planned` takes no others
            images = ScoredImages(replace(self.source, unaries=None, checkpoint=cell.checkpoint, sample=None))
            crf = model.crf.cpu()
        self.kept.add(cell, self.counts(crf, images))

    def learned(self, cell: Learned) -> CRFRNN:
        """The CRF of a cell; from its file where only the scoring was interrupted."""
        file, last = self.kept.path(cell, "crf"), self.kept.path(cell, "last")
        if not file.exists():
            labels = len(self.train.classes)
            crf, losses = fit(
                cell.variant, self.train, labels, self.learning, seed=cell.seed, last=last, quiet=self.quiet
            )
            write_crf(file, crf, {"losses": losses})
            last.unlink(missing_ok=True)
        return read_crf(file)

    @torch.no_grad()
    def counts(self, crf: CRFRNN, images: ScoredImages) -> ImageCounts:
        """Counts of the test images after T = 0, 1, ... iterations, from one run per image."""
        iterations = self.kept.settings["test_iterations"]
        total = len(images)
        count = total if self.test_images is None else min(self.test_images, total)
        counts = ImageCounts(images.classes)
        for i in tqdm(range(count), "scoring", disable=self.quiet, leave=None, unit="image"):
            scored = images[i * total // count]
            states = crf.iterate(scored.unary, scored.image, num_iterations=iterations)
            labels = {after(state.iteration): most_likely(state.logits) for state in states}
            counts.add(scored.name, matrices(labels, scored.truth, len(images.classes)))
        return counts


def after(iterations: int) -> str:
    """The row of the labels after so many iterations in the counts of a cell."""
    return f"T = {iterations}"
