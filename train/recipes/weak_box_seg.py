"""DeepLab-LargeFOV from boxes segmented by a dense CRF (Bbox-Seg) on PASCAL VOC.

Needs      --data: lists train_aug, val (python -m crfrnn.data.download voc2012 sbd; python -m crfrnn.data.train_aug)
           --targets: seg of the list train_aug (python -m train.targets)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
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
