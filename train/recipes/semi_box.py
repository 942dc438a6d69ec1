"""DeepLab-LargeFOV from 1,464 images with masks and 9,118 with boxes (Bbox-EM-Fixed) on PASCAL VOC.

Needs      --data: lists train, weak, val (python -m crfrnn.data.download voc2012 sbd; python -m crfrnn.data.train_aug)
           --targets: rect of the list weak (python -m train.targets)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
Command    python -m train.targets --data VOCdevkit --list weak --out TARGETS
           python -m train.run --recipe semi_box --data VOCdevkit --targets TARGETS --init imagenet-v1 --out DIR
Hardware   one GPU
Duration   not run yet
Score      not run yet; published on val, mean IoU with a dense CRF: 64.8 (with Bbox-Rect 62.1, with Bbox-Seg 65.1)

15 images of each kind in a batch, their losses weighted 0.7 and 0.3. For Bbox-Seg, and Bbox-Rect likewise:

    --stages.network.mixture.boxes.annotation pixels --stages.network.mixture.boxes.masks seg
"""

from dataclasses import replace

from train.recipes.schema import Source
from train.recipes.semi_image import RECIPE as IMAGE
from train.recipes.weak_box_em import BOXES

MIXTURE = {
    "masks": Source(count=15, split="train", weight=0.7),
    "boxes": replace(BOXES, count=15, split="weak", weight=0.3, e_step=replace(BOXES.e_step, foreground_bias=6.0)),
}

RECIPE = replace(IMAGE, stages={"network": replace(IMAGE.stages["network"], mixture=MIXTURE)})
