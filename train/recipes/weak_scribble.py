"""DeepLab-LargeFOV from scribbles (partial cross-entropy and the dense CRF loss) on PASCAL VOC.

Needs      --data: lists train_aug, val (python -m crfrnn.data.download voc2012 sbd; python -m crfrnn.data.train_aug)
           --targets: scribbles of the list train_aug (python -m train.targets --kinds scribbles)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
Command    python -m train.targets --data VOCdevkit --list train_aug --kinds scribbles --out TARGETS
           python -m train.run --recipe weak_scribble --data VOCdevkit --targets TARGETS --init imagenet-v1 --out DIR
Hardware   one GPU
Duration   not run yet
Score      not run yet; published on val, mean IoU without a CRF: 62.3, without the loss 55.8, all masks 63.0

For the published scribbles pass their folder to train.targets, --scribbles scribble_annotation/pascal_2012; otherwise they
are made from the masks. Bandwidths are those of Tang et al. 2018. The published weights (1.5e-9 to 1e-7) multiply a sum over
all pairs of pixels; of the mean over pixels with a normalized kernel, which is the loss here, they are about 0.2 to 4. The
loss is looked at on every fourth pixel. Without the dense CRF loss:

    --stages.network.mixture.scribbles.crf-loss.weight 0
"""

from crfrnn.presets import FixedCRF
from train.recipes.schema import CrfLoss, Recipe, Source, Stage

SCRIBBLES = Source(count=20, split="train_aug", annotation="scribbles", masks="scribbles", crf_loss=CrfLoss(weight=1.0))

RECIPE = Recipe(
    stages={
        "network": Stage(
            steps=9000,
            batch_size=20,
            lr=0.001,
            schedule="poly",
            loss_stride=4,
            validate_every=1000,
            mixture={"scribbles": SCRIBBLES},
        ),
    },
    network="deeplab-largefov",
    dense_crf=FixedCRF(),
    workers=8,
)
