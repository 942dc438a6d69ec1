"""DeepLab-LargeFOV on PASCAL VOC with its released schedule, then CRF-RNN parameters alone, and jointly.

Needs      --data: lists train_aug, val (python -m crfrnn.data.download voc2012 sbd; python -m crfrnn.data.train_aug)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
Command    python -m train.run --recipe voc --data VOCdevkit --init imagenet-v1 --out DIR
Hardware   one GPU
Duration   the network five minutes on an H100 with --autocast bf16 (19 steps a second); not run to its end
Score      not run yet; published on val, mean IoU: network 62.3, with a dense CRF 67.6 (DeepLab-LargeFOV)

6,000 steps of 30 images at 0.001, a tenth every 2,000. The rates of the joint stage are ours: those of CRF-RNN belong to a
sum over the pixels of whole images (see voc_fcn8s). All later stages but the last
begin from the network, so that they can be compared.
"""

from dataclasses import replace

from train.recipes.schema import Recipe, Stage

CRF = Stage(steps=1000, batch_size=4, lr=0.0001, trains="crf", loss_stride=1, kernel_weight_multiplier=100.0)
JOINT = replace(CRF, steps=4000, trains="joint", start="network", validate_every=1000)

RECIPE = Recipe(
    stages={
        "network": Stage(steps=6000, batch_size=30, lr=0.001, schedule="step", step_size=2000, validate_every=1000),
        "crf": CRF,
        "joint": JOINT,
        "control": replace(JOINT, trains="network", like="joint"),
        "control-crf": replace(CRF, start="control", like="crf"),
    },
    workers=8,
)
