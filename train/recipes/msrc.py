"""DeepLab-LargeFOV and CRF-RNN on MSRC-21, the standard split of 276 training and 59 validation images.

Needs      --data: lists Train, Val (python -m crfrnn.data.download msrc21; write the lists yourself)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
Command    python -m train.run --recipe msrc --data MSRC --init imagenet-v1 --out DIR
           python -m eval.run --checkpoint DIR/joint.pt --data MSRC --list Test --out RESULTS
Hardware   one GPU, or a night on CPU cores
Duration   not run yet
Score      not run yet; dense CRFs on features of the time reach 86.0 pixel and 78.3 class accuracy on the 256 of the
           test list (Kraehenbuehl & Koltun 2011)

Images are 320 x 213. Pixel and class accuracy are what is published here ("global" and "average").
"""

from dataclasses import replace

from train.recipes.schema import Crf, Recipe, Stage

CRF = Stage(
    steps=300,
    batch_size=4,
    lr=0.0001,
    trains="crf",
    scale=(0.75, 1.25),
    crop=257,
    loss_stride=1,
    kernel_weight_multiplier=100.0,
)
JOINT = replace(CRF, steps=500, trains="joint", start="network", validate_every=250)

RECIPE = Recipe(
    stages={
        "network": Stage(
            steps=2000, batch_size=10, lr=0.001, warmup=20, scale=(0.75, 1.25), crop=257, validate_every=500
        ),
        "crf": CRF,
        "joint": JOINT,
        "control": replace(JOINT, trains="network", like="joint"),
        "control-crf": replace(CRF, start="control", like="crf"),
    },
    crf=Crf(theta_alpha=61.0, theta_beta=11.0, theta_gamma=1.0),
    train_list="Train",
    val_list="Val",
    workers=2,
)
