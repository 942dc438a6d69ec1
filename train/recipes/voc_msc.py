"""DeepLab-MSc-LargeFOV on PASCAL VOC as released: LargeFOV first, then the branches on the frozen network; then jointly.

Needs      --data: lists train_aug, val (python -m crfrnn.data.download voc2012 sbd; python -m crfrnn.data.train_aug)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
Command    python -m train.run --recipe voc_msc --data VOCdevkit --init imagenet-v1 --out DIR
Hardware   one GPU
Duration   not run yet
Score      not run yet; published on val, mean IoU: network 64.2, with a dense CRF 68.7 (DeepLab-MSc-LargeFOV)

All new layers learn at the rate of the solver itself, the last ones too. Trunk and fc8 are frozen from the second stage
on, the joint one included.
"""

from dataclasses import replace

from train.recipes.schema import Recipe, Stage
from train.recipes.voc import RECIPE as VOC

MSC = "deeplab-msc-largefov"

JOINT = replace(VOC.stages["joint"], start="msc", network=MSC, last_layer_multiplier=1.0)

RECIPE = Recipe(
    stages={
        "largefov": VOC.stages["network"],
        "msc": Stage(
            steps=6000, batch_size=30, lr=0.001, network=MSC, schedule="step", step_size=2000, last_layer_multiplier=1.0
        ),
        "joint": JOINT,
        "control": replace(JOINT, trains="network", like="joint"),
    },
    network="deeplab-largefov",
    workers=8,
)
