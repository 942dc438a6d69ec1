"""A strong network, DeepLabV3 on MobileNetV2, and a CRF on PASCAL VOC, within two cores: the head of the network learns.

Needs      --data: lists train_aug, val (python -m crfrnn.data.download voc2012 sbd; python -m crfrnn.data.train_aug)
           --init: FILE, made by python -m crfrnn.nets.convert deeplabv3_mnv2_pascal_quant.tflite FILE
Command    python -m train.run --recipe voc_mobilenet --data VOCdevkit --init FILE --out DIR
Hardware   two CPU cores, 2 GB to remember what the trunk gives for 1,050 images
Duration   half an hour, and as long again for the final table
Score      mean IoU on 250 images of val, percent, with ten times the rate of the head in the joint stage: control and fixed
           dense CRF 74.4, CRF parameters alone 73.5, joint 75.1; over the seven classes with many images 88.1, 88.1, 88.1
           (eval/results/joint_training.md)

Half of what the head looks at is a mean over the map, so it sees whole images, as at test time. The CRF begins at parameters
tuned for this network. With a learned guide:

    --crf.guide-channels 3
"""

from dataclasses import replace

from crfrnn.presets import FixedCRF
from train.recipes.schema import Crf, Loss, Recipe, Stage

NETWORK = Stage(
    steps=300,
    batch_size=2,
    accumulate=2,
    lr=1e-5,
    optimizer="adam",
    last_layer_multiplier=1.0,
    weight_decay=0.0,
    warmup=20,
    loss_stride=4,
    crop=None,
    as_tested=True,
    trunk_memory=2.0,
    freeze=("features",),
    ema=0.99,
)
JOINT = replace(
    NETWORK,
    steps=100,
    trains="joint",
    start="network",
    kernel_weight_multiplier=1000.0,
    bandwidth_multiplier=1000.0,
    guide_multiplier=1000.0,
    ema=0.97,
    loss=Loss(temperature=2.2, learn_temperature=True, jaccard=1.0),
)
CRF = replace(JOINT, steps=50, trains="crf")

RECIPE = Recipe(
    stages={
        "network": NETWORK,
        "crf": CRF,
        "joint": JOINT,
        "control": replace(JOINT, trains="network", like="joint"),
        "control-crf": replace(CRF, start="control", like="crf"),
    },
    network="deeplabv3-mobilenetv2",
    dropout=0.0,
    input_side=513,
    crf=Crf(
        theta_alpha=67.0,
        theta_beta=3.0,
        theta_gamma=1.0,
        appearance_weight=4.0,
        smoothness_weight=3.0,
        kernel_weights="scalar",
        learn_bandwidths=True,
        normalization="symmetric",
    ),
    dense_crf=FixedCRF(
        appearance_weight=4.0,
        theta_alpha=67.0,
        theta_beta=3.0,
        smoothness_weight=3.0,
        theta_gamma=1.0,
        normalization="symmetric",
    ),
)
