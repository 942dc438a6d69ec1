"""Six parts of persons on PASCAL-Part, whole images: LargeFOV, then CRF-RNN jointly.

Needs      --data: lists person_train, person_val (python -m crfrnn.data.download voc2010 pascal-part)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
           packages: pip install -e '.[parts]'
Command    python -m train.run --recipe parts_person --data VOCdevkit/VOC2010 --init imagenet-v1 --out DIR
Hardware   one GPU
Duration   not run yet
Score      not run yet; published on 1,817 images of val, mean IoU over seven labels: 51.9 (LargeFOV, without a CRF)

Annotations_Part lies beside JPEGImages. The position bandwidth is 13 pixels, as DeepLab's for parts: parts are small, and
what is 50 pixels away says little about them. Label penalties begin lower for parts that touch.
"""

from dataclasses import replace

from crfrnn.parts import Parts
from crfrnn.presets import PARTS_CRF
from train.recipes.schema import Crf, Recipe, Stage

NETWORK = Stage(
    steps=6000, batch_size=30, lr=0.001, schedule="step", step_size=2000, scale=(0.75, 1.25), validate_every=2000
)
JOINT = Stage(
    steps=2000,
    batch_size=4,
    lr=0.0001,
    trains="joint",
    start="network",
    scale=(0.75, 1.25),
    loss_stride=1,
    kernel_weight_multiplier=100.0,
    compatibility_multiplier=100.0,
    validate_every=500,
)

RECIPE = Recipe(
    stages={"network": NETWORK, "joint": JOINT, "control": replace(JOINT, trains="network", like="joint")},
    crf=Crf(theta_alpha=13.0, theta_beta=3.0, theta_gamma=3.0, compatibility="adjacency"),
    dense_crf=PARTS_CRF,
    parts=Parts(classes=("person",), merge="coarse"),
    train_list="person_train",
    val_list="person_val",
    val_images=200,
    workers=8,
)
