"""DeepLab from image labels alone (EM-Adapt) on PASCAL VOC: the released schedule.

Needs      --data: lists train_aug, val (python -m crfrnn.data.download voc2012 sbd; python -m crfrnn.data.train_aug)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
Command    python -m train.run --recipe weak_image --data VOCdevkit --init imagenet-v1 --out DIR
Hardware   one GPU
Duration   not run yet
Score      not run yet; published on val, mean IoU with a dense CRF: EM-Adapt 38.2, EM-Fixed 20.8

6,000 steps of 20 images. What is known of an image is which labels occur in its crop, as in the released network. Its trunk
is that of `deeplab`, with the small field of view, but with poolings of 3x3. The others of the table:

    --stages.network.mixture.images.e-step.method em-fixed      (or mil)
"""

from crfrnn.presets import FixedCRF
from train.recipes.schema import Recipe, Source, Stage

RECIPE = Recipe(
    stages={
        "network": Stage(
            steps=6000,
            batch_size=20,
            lr=0.001,
            schedule="step",
            step_size=2000,
            validate_every=1000,
            mixture={"images": Source(count=20, split="train_aug", annotation="image")},
        ),
    },
    network="deeplab-pool3",
    dense_crf=FixedCRF(appearance_weight=35.0, theta_alpha=61.0, theta_beta=10.0),
    workers=8,
)
