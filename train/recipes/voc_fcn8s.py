"""FCN-32s, -16s and -8s on PASCAL VOC, each from the one before, then CRF-RNN jointly: the paper's network and rates.

Needs      --data: lists train_aug, val (python -m crfrnn.data.download voc2012 sbd; python -m crfrnn.data.train_aug)
           --init: imagenet-v1, or FILE with the same weights (python -m crfrnn.data.download vgg16-imagenet)
Command    python -m train.run --recipe voc_fcn8s --data VOCdevkit --init FILE --out DIR
Hardware   one GPU
Duration   not run yet; its authors name three days for FCN-32s and one for each of the others, on GPUs of 2015
Score      not run yet; published on 346 images of val, mean IoU: 69.6 with the joint training (without COCO)

Whole images, one per step, loss summed over the pixels, momentum 0.99: rates of 1e-10, 1e-12, 1e-14 (FCN) and 1e-13 with
10,000 for kernel weights and 1,000 for the compatibility (CRF-RNN). Where the paper trained on 11,685 images of VOC and
SBD, the list here is train_aug (10,582); how many steps the joint stage took is not stated. FILE has VGG-16 with fc6 and
fc7, such as torchvision's IMAGENET1K_V1, which `--init imagenet-v1` fetches.
"""

from dataclasses import replace

from train.recipes.schema import Crf, Recipe, Stage

FCN32S = Stage(
    steps=100_000,
    batch_size=1,
    lr=1e-10,
    network="fcn-32s",
    schedule="fixed",
    momentum=0.99,
    last_layer_multiplier=1.0,
    clip=None,
    loss_stride=1,
    normalize_loss=False,
    crop=None,
    mirror=False,
    save_every=1000,
    validate_every=20_000,
)

JOINT = replace(
    FCN32S,
    lr=1e-13,
    network="fcn-8s",
    trains="joint",
    start="fcn8s",
    kernel_weight_multiplier=10_000.0,
    compatibility_multiplier=1000.0,
)

RECIPE = Recipe(
    stages={
        "fcn32s": FCN32S,
        "fcn16s": replace(FCN32S, lr=1e-12, network="fcn-16s"),
        "fcn8s": replace(FCN32S, lr=1e-14, network="fcn-8s"),
        "joint": JOINT,
        "control": replace(JOINT, trains="network", like="joint"),
    },
    crf=Crf(kernel_weights="matrix"),
    network="fcn-8s",
    val_images=200,
    workers=4,
)
