"""What a training run does, as data: every field can be overridden on the command line of `train.run`."""

from dataclasses import dataclass, field
from typing import Literal

from eval.methods import FixedCRF


@dataclass(frozen=True)
class Stage:
    """One stage of SGD with momentum. Rates are those of the trunk; the others are multiples of it."""

    steps: int
    batch_size: int
    lr: float
    schedule: Literal["poly", "step"] = "poly"
    power: float = 0.9
    """poly: rate = lr (1 - step / steps)^power"""
    step_size: int = 2000
    """step: the rate falls to a tenth every so many steps"""
    warmup: int = 0
    """steps over which the rate rises linearly from zero"""
    hidden_multiplier: float = 1.0
    """rate of fc6 and fc7 over that of the trunk"""
    score_multiplier: float = 10.0
    """rate of fc8 over that of the trunk"""
    kernel_weight_multiplier: float = 10.0
    """rate of the CRF's kernel weights over that of the trunk"""
    compatibility_multiplier: float = 1.0
    """rate of the CRF's label compatibility over that of the trunk"""
    bandwidth_multiplier: float = 1.0
    """rate of the logarithms of the CRF's bandwidths over that of the trunk"""
    momentum: float = 0.9
    weight_decay: float = 5e-4
    """on the weights of the network; biases and CRF parameters have none"""
    clip: float = 10.0
    """largest gradient norm, of the network and of the CRF each"""
    loss_stride: int = 8
    """the loss looks at every so many pixels of the labels; 1 is full resolution"""
    crop: int = 321
    scale: tuple[float, float] = (1.0, 1.0)
    """range of the random factor on image and labels"""
    save_every: int = 200


@dataclass(frozen=True)
class Crf:
    """The CRF-RNN of the joint stage (bandwidths in pixels and grey levels; see crfrnn.CRFRNN)."""

    theta_alpha: float = 160.0
    theta_beta: float = 3.0
    theta_gamma: float = 3.0
    appearance_weight: float = 5.0
    smoothness_weight: float = 3.0
    kernel_weights: Literal["scalar", "diagonal", "matrix"] = "diagonal"
    num_iterations: int = 5
    """mean-field iterations T in training; any T can be asked for afterwards"""


@dataclass(frozen=True)
class Recipe:
    """A training run in two stages: the network on its own, then network and CRF-RNN jointly."""

    network_stage: Stage
    joint_stage: Stage
    crf: Crf = field(default_factory=Crf)
    dense_crf: FixedCRF = field(default_factory=FixedCRF)
    """the fixed CRF behind the network that the CRF-RNN is compared with in the end"""
    network: str = "deeplab-largefov"
    width: float = 1.0
    dropout: float = 0.5
    input_scale: float = 1.0
    """the network sees images resampled by this factor, the CRF the images themselves"""
    freeze: tuple[str, ...] = ()
    """layers of the network that keep their weights, by the beginning of their names"""
    train_list: str = "train_aug"
    val_list: str = "val"
    seed: int = 0
    workers: int = 1
    """processes that read images"""
    autocast: bool = False
    """bfloat16 in the network; pays on processors with bfloat16 matrix units. The CRF stays in float32"""


# python -m train.run: minutes on two cores
TOY = Recipe(
    width=0.125,
    dropout=0.1,
    train_list="train",
    network_stage=Stage(steps=1500, batch_size=8, lr=0.04, score_multiplier=1.0, crop=97, warmup=50),
    joint_stage=Stage(
        steps=150, batch_size=4, lr=0.004, score_multiplier=1.0, crop=97, loss_stride=1, kernel_weight_multiplier=10.0
    ),
    crf=Crf(theta_alpha=30.0, theta_beta=15.0, theta_gamma=2.0, appearance_weight=5.0, smoothness_weight=2.0),
    dense_crf=FixedCRF(theta_alpha=30.0, theta_beta=15.0, theta_gamma=2.0, smoothness_w=2.0),
)

# python -m train.run --recipe voc --data VOCdevkit --init imagenet --out DIR
# The schedule of DeepLab-LargeFOV (6,000 steps of 30 images), then the joint stage. For a GPU; not run by us yet.
VOC = Recipe(
    network_stage=Stage(steps=6000, batch_size=30, lr=0.001, schedule="step", step_size=2000),
    joint_stage=Stage(steps=4000, batch_size=4, lr=0.0001, loss_stride=1, kernel_weight_multiplier=100.0),
    workers=8,
)

# python -m train.run --recipe voc_small --data VOCdevkit --init FILE --out DIR
# Fits two cores and two hours: the network at half resolution, the first three blocks kept from ImageNet.
VOC_SMALL = Recipe(
    input_scale=0.5,
    freeze=("conv1", "conv2", "conv3"),
    network_stage=Stage(
        steps=2000,
        batch_size=2,
        lr=0.001,
        hidden_multiplier=2.0,
        score_multiplier=5.0,
        warmup=20,
        scale=(0.75, 1.25),
    ),
    joint_stage=Stage(
        steps=300,
        batch_size=2,
        lr=0.0003,
        hidden_multiplier=2.0,
        score_multiplier=5.0,
        scale=(0.75, 1.25),
        loss_stride=1,
        kernel_weight_multiplier=10.0,
        save_every=50,
    ),
)

RECIPES = {"toy": TOY, "voc": VOC, "voc_small": VOC_SMALL}
