"""DeepLab-LargeFOV from boxes segmented by a dense CRF (Bbox-Seg) on PASCAL VOC.

Command    python -m train.targets --data VOCdevkit --list train_aug --out TARGETS
           python -m train.run --recipe weak_box_seg --data VOCdevkit --targets TARGETS --init imagenet-v1 --out DIR
Hardware   one GPU
Duration   not run yet
Score      not run yet; published on val, mean IoU with a dense CRF: 60.6
"""

from dataclasses import replace

from crfrnn.presets import FixedCRF
from train.recipes.schema import Source
from train.recipes.weak_box_rect import RECIPE as RECT

RECIPE = replace(
    RECT,
    stages={
        "network": replace(RECT.stages["network"], mixture={"boxes": Source(count=30, split="train_aug", masks="seg")})
    },
    dense_crf=FixedCRF(appearance_weight=7.0, theta_alpha=41.0, theta_beta=7.0),
)
