"""The one place that imports torchmetrics.

It imports torchvision, which crfrnn.data first has to make loadable beside a CPU build of torch.
"""

import crfrnn.data.transforms  # noqa: F401

# isort: split
from torchmetrics.classification import MulticlassConfusionMatrix

__all__ = ["MulticlassConfusionMatrix"]
