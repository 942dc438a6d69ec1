"""What is checked before the first step of a run, so that nothing ends it hours later."""

from collections.abc import Sequence

from train.checks.images import check_images
from train.checks.models import check_models
from train.checks.room import check_folder, check_room
from train.state import Run

__all__ = ["check_images", "check_run"]


def check_run(run: Run, names: Sequence[str], init: str | None, resume: bool) -> None:
    """Raise ValueError or OSError where the stages `names` of a run could not be run to their end; takes seconds.

    What takes longer is left to `check_images`, and to the making of the first model.
    """
    unknown = [name for name in run.recipe.belief_labels if name not in run.dataset.classes]
    if unknown:
        raise ValueError(
            f"--belief-labels has {unknown[0]!r}; wanted some of the labels of {run.dataset.root}: "
            f"{', '.join(run.dataset.classes)}"
        )
    check_folder(run, resume)
    check_room(run, check_models(run, names, init))
