"""What every data set yields."""

from typing import NamedTuple

from torch import Tensor

VOID = 255
"""The label of pixels that do not count, neither in training nor in scores."""


class Sample(NamedTuple):
    """One image of a data set: uint8 RGB [3, H, W], labels uint8 [H, W] with 255 for void, and the image's name."""

    image: Tensor
    labels: Tensor
    name: str
