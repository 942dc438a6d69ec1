"""Whether every image and mask of a run can be read and fits the labels."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from crfrnn.data import SegmentationSet
from train.state import Run

SILENT_UP_TO = 1000  # images


def check_images(run: Run, names: Sequence[str]) -> None:
    """Read what the stages `names` and the validation will read; of several processes, each reads its share.

    Raises as the data sets do where an image or a mask is damaged, or holds a label beyond the classes.
    """
    jobs = [(dataset, index) for dataset in sets_of(run, names) for index in range(len(dataset))]
    own = jobs[run.group.rank :: run.group.world]
    pool = ThreadPoolExecutor(max(1, run.recipe.workers))
    silent = len(jobs) <= SILENT_UP_TO or not run.group.is_main
    try:
        for _ in tqdm(pool.map(read, own), "checking images", len(own), leave=False, unit="image", disable=silent):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def read(job: tuple[SegmentationSet, int]) -> None:
    """Read one image of a data set, and forget it."""
    dataset, index = job
    dataset[index]


def sets_of(run: Run, names: Sequence[str]) -> list[SegmentationSet]:
    """The data sets that the stages `names` and the validation read, each once."""
    used = [dataset for name in names for dataset in run.sets.get(name) or [run.dataset]]
    return list({id(dataset): dataset for dataset in [*used, run.validation]}.values())
