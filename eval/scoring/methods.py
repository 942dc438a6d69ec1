"""Ways to turn the unary scores of a network into labels: the rows of a table of results."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from crfrnn import CRFRNN
from crfrnn.nets import GuidedCRF
from eval.scoring.metrics import most_likely


@dataclass(frozen=True)
class Method:
    """One way to label images, giving one row of a table or several.

    Attributes:
        rows: names of the rows.
        logits: (unary [1, L, H, W], RGB image [1, 3, H, W] in 0..255) -> logits [1, L, H, W] of every row, in order.
    """

    rows: tuple[str, ...]
    logits: Callable[[Tensor, Tensor], Iterable[Tensor]]


def network_alone(name: str = "network") -> Method:
    """The labels that the unaries themselves prefer."""
    return Method((name,), lambda unary, image: (unary,))


def with_crf(crf: CRFRNN | GuidedCRF, rows: Mapping[int, str]) -> Method:
    """`crf` after every number of iterations T in `rows` (T -> name of its row).

    Many numbers of iterations share one run, step by step; for a few, one call for each is faster.

    Raises ValueError where `rows` is empty or a T is negative.
    """
    names = dict(sorted(rows.items()))
    if not names or min(names) < 0:
        raise ValueError(f"got the numbers of iterations {list(names)}; wanted one or more, each 0 or above")

    few = sum(names) <= 2 * max(names)

    def logits(unary: Tensor, image: Tensor) -> Iterable[Tensor]:
        if few:
            yield from (crf(unary, image, num_iterations=iterations) for iterations in names)
            return
        for state in crf.iterate(unary, image, num_iterations=max(names)):
            if state.iteration in names:
                yield state.logits

    return Method(tuple(names.values()), logits)


def label_rows(methods: Iterable[Method], unary: Tensor, image: Tensor) -> dict[str, Tensor]:
    """The labels of every row of `methods` for one image, uint8 [H, W] on the CPU."""
    return {
        row: most_likely(logits)
        for method in methods
        for row, logits in zip(method.rows, method.logits(unary, image), strict=True)
    }
