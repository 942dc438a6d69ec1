"""DeepLab-LargeFOV from boxes whose labels are estimated again in every step (Bbox-EM-Fixed) on PASCAL VOC.

Needs      --data: lists train_aug, val (python -m crfrnn.data.download voc2012 sbd; python -m crfrnn.data.train_aug)
           --targets: rect of the list train_aug (python -m train.targets)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
Command    python -m train.targets --data VOCdevkit --list train_aug --kinds rect --out TARGETS
           python -m train.run --recipe weak_box_em --data VOCdevkit --targets TARGETS --init imagenet-v1 --out DIR
Hardware   one GPU
Duration   not run yet
Score      not run yet; published on val, mean IoU with a dense CRF: 54.1

The biases for boxes alone are not published: 10 for the label of a box inside it, 5 for the background everywhere. So the
background has to be 5 above the label of a box to win inside it, and a label 5 above the background to win outside. Those of
the released mixture, 6 and 5 (see semi_box), need images with masks beside them: without any, the background is soon 1 above
every label all over the image, is estimated everywhere, and nothing else is learned. No CRF is published either; it has that
of Bbox-Rect.
"""

from dataclasses import replace

from train.recipes.schema import EStep, Source
from train.recipes.weak_box_rect import RECIPE as RECT

BOXES = Source(
    count=30,
    split="train_aug",
    annotation="boxes",
    masks="rect",
    e_step=EStep("em-fixed", foreground_bias=10.0, background_bias=5.0),
)

RECIPE = replace(RECT, stages={"network": replace(RECT.stages["network"], mixture={"boxes": BOXES})})
