"""PASCAL VOC within two cores and two hours: the network at half resolution, its first three blocks kept from ImageNet.

Needs      --data: lists train_aug, val (python -m crfrnn.data.download voc2012 sbd; python -m crfrnn.data.train_aug)
           --init: FILE, the original VGG-16 convolutions as .npz, or imagenet, the same from torchvision
Command    python -m train.run --recipe voc_small --data VOCdevkit --init FILE --out DIR
Hardware   two CPU cores
Duration   an hour for the network, a quarter of an hour for each of the other stages
Score      mean IoU on 250 images of val, 1,050 training images, percent: control with a fixed dense CRF 31.2, with a learned
           one 31.6, joint 31.3; over the seven classes with many images 63.9, 64.7, 64.8 (eval/results/joint_training.md)

FILE holds the original VGG-16 convolutions, see crfrnn.nets.load_imagenet.
"""

from dataclasses import replace

from train.recipes.schema import Recipe, Stage

NETWORK = Stage(
    steps=2000,
    batch_size=2,
    lr=0.001,
    new_layers_multiplier=2.0,
    last_layer_multiplier=5.0,
    warmup=20,
    scale=(0.75, 1.25),
    freeze=("conv1", "conv2", "conv3"),
    validate_every=500,
)
CRF = replace(
    NETWORK,
    steps=100,
    lr=0.0003,
    trains="crf",
    warmup=0,
    loss_stride=1,
    kernel_weight_multiplier=100.0,
    save_every=50,
    validate_every=0,
)
JOINT = replace(
    CRF,
    steps=150,
    lr=0.0002,
    trains="joint",
    start="network",
    kernel_weight_multiplier=10.0,
    dropout=0.0,  # with it, joint training raised the scores of small classes and lost pixel accuracy
    ema=0.97,
)

RECIPE = Recipe(
    stages={
        "network": NETWORK,
        "crf": CRF,
        "joint": JOINT,
        "control": replace(JOINT, trains="network", like="joint"),
        "control-crf": replace(CRF, start="control", like="crf"),
    },
    input_scale=0.5,
    val_images=50,
)
