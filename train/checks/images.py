"""Whether every image and mask of a run can be read and fits the labels."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from crfrnn.data import VOC_CLASSES, VOID, FolderSegmentation, SegmentationSet, VOCSegmentation
from train.state import Run

SILENT_UP_TO = 1000  # images


def check_images(run: Run, names: Sequence[str]) -> None:
    """Read what the stages `names` and the validation will read; of several processes, each reads its share.

    Raises as the data sets do where an image or a mask is damaged, or holds a label beyond the classes, and as
    `check_present`.
    """
    jobs = [(dataset, index) for dataset in sets_of(run, names) for index in range(len(dataset))]
    own = jobs[run.group.rank :: run.group.world]
    pool = ThreadPoolExecutor(max(1, run.recipe.workers))
    silent = len(jobs) <= SILENT_UP_TO or not run.group.is_main
    present: set[int] = set()
    try:
        for labels in tqdm(pool.map(read, own), "checking images", len(own), leave=False, unit="image", disable=silent):
            present |= labels
    finally:
        pool.shutdown(cancel_futures=True)
    if own:
        check_present(run, present)


def read(job: tuple[SegmentationSet, int]) -> set[int]:
    """Read one image of a data set, and forget all but which labels it holds."""
    dataset, index = job
    return set(dataset[index].labels.unique().tolist()) - {VOID}


def check_present(run: Run, present: set[int]) -> None:
    """Say so where a set without classes.txt gets VOC's names although some of VOC's labels do not occur in it.

    Raises ValueError where folders of the user hold fewer than two labels, as when masks of 0 and 255 are read as labels.
    """
    dataset = run.validation
    if isinstance(dataset, FolderSegmentation) and len(present) < 2:
        names = ", ".join(dataset.classes[label] for label in present) or "no label"
        raise ValueError(
            f"the masks in {dataset.root} hold {names} and void alone; wanted two or more labels. Where 255 is a label "
            'of theirs, pass --colors FILE with the lines "0 0 0 background" and "255 255 255 NAME"'
        )
    absent = [name for label, name in enumerate(VOC_CLASSES) if label not in present]
    names_file = dataset.root / "classes.txt"
    if not (isinstance(dataset, VOCSegmentation) and absent and run.group.is_main) or names_file.is_file():
        return
    print(
        f"{names_file} does not exist, so the labels are taken for the {len(VOC_CLASSES)} of PASCAL VOC, of which "
        f"{len(absent)} do not occur in the masks that were read ({', '.join(absent[:3])}{', ...' if absent[3:] else ''}). "
        f"If the set has labels of its own, stop, and name them in {names_file.name}, one a line"
    )


def sets_of(run: Run, names: Sequence[str]) -> list[SegmentationSet]:
    """The data sets that the stages `names` and the validation read, each once."""
    used = [dataset for name in names for dataset in run.sets.get(name) or [run.dataset]]
    return list({id(dataset): dataset for dataset in [*used, run.validation]}.values())
