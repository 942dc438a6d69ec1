"""A generated data set, to see everything work.

Needs      nothing: without --data, pictures are generated
Command    python -m train.run
Hardware   two CPU cores
Duration   minutes
Score      mean IoU over 60 images, percent: network 58.6, with a fixed dense CRF 69.0, CRF-RNN 78.2 (commit eeb3d79)
"""

from dataclasses import replace

from crfrnn.presets import FixedCRF
from train.recipes.schema import Crf, Recipe, Stage

JOINT = Stage(
    steps=150,
    batch_size=4,
    lr=0.0004,
    trains="joint",
    start="network",
    last_layer_multiplier=1.0,
    crop=97,
    loss_stride=1,
    kernel_weight_multiplier=100.0,
    compatibility_multiplier=10.0,
    validate_every=50,
)
CRF = replace(JOINT, trains="crf", validate_every=0)

RECIPE = Recipe(
    width=0.125,
    dropout=0.1,
    train_list="train",
    stages={
        "network": Stage(
            steps=1500, batch_size=8, lr=0.04, last_layer_multiplier=1.0, crop=97, warmup=50, validate_every=500
        ),
        "joint": JOINT,
        "crf": CRF,
        "control": replace(JOINT, trains="network", like="joint"),
        "control-crf": replace(CRF, start="control", like="crf"),
    },
    crf=Crf(theta_alpha=30.0, theta_beta=15.0, theta_gamma=2.0, appearance_weight=5.0, smoothness_weight=2.0),
    dense_crf=FixedCRF(theta_alpha=30.0, theta_beta=15.0, theta_gamma=2.0, smoothness_weight=2.0),
)
