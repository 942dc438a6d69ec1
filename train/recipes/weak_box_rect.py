"""DeepLab-LargeFOV from boxes filled with their labels (Bbox-Rect) on PASCAL VOC.

Needs      --data: lists train_aug, val (python -m crfrnn.data.download voc2012 sbd; python -m crfrnn.data.train_aug)
           --targets: rect of the list train_aug (python -m train.targets)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
Command    python -m train.targets --data VOCdevkit --list train_aug --out TARGETS
           python -m train.run --recipe weak_box_rect --data VOCdevkit --targets TARGETS --init imagenet-v1 --out DIR
Hardware   one GPU
Duration   not run yet
Score      not run yet; published on val, mean IoU with a dense CRF: 52.5
"""

from crfrnn.presets import FixedCRF
from train.recipes.schema import Recipe, Source, Stage

RECIPE = Recipe(
    stages={
        "network": Stage(
            steps=6000,
            batch_size=30,
            lr=0.001,
            schedule="step",
            step_size=2000,
            validate_every=1000,
            mixture={"boxes": Source(count=30, split="train_aug", masks="rect")},
        ),
    },
    dense_crf=FixedCRF(appearance_weight=5.0, theta_alpha=70.0, theta_beta=3.0),
    workers=8,
)
