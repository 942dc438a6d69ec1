"""DeepLab-LargeFOV from 1,464 images with masks and 9,118 with image labels (EM-Fixed) on PASCAL VOC.

Needs      --data: lists train, weak, val (python -m crfrnn.data.download voc2012 sbd; python -m crfrnn.data.train_aug)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
Command    python -m train.run --recipe semi_image --data VOCdevkit --init imagenet-v1 --out DIR
Hardware   one GPU
Duration   not run yet
Score      not run yet; published on val, mean IoU with a dense CRF: 64.6 (masks alone: 62.5, all 10,582 with masks: 67.6)

The list `weak` is train_aug without train (python -m crfrnn.data.train_aug writes it). For fewer masks, two lists of your
own:

    --stages.network.mixture.masks.split FILE --stages.network.mixture.images.split FILE
"""

from crfrnn.presets import FixedCRF
from train.recipes.schema import EStep, Recipe, Source, Stage

RECIPE = Recipe(
    stages={
        "network": Stage(
            steps=6000,
            batch_size=30,
            lr=0.001,
            schedule="step",
            step_size=2000,
            validate_every=1000,
            mixture={
                "masks": Source(count=15, split="train"),
                "images": Source(count=15, split="weak", annotation="image", e_step=EStep("em-fixed")),
            },
        ),
    },
    dense_crf=FixedCRF(appearance_weight=5.0, theta_alpha=81.0, theta_beta=5.0),
    workers=8,
)
