"""DeepLab-LargeFOV on COCO with VOC's labels, then on PASCAL VOC (Cross-Pretrain).

Needs      --data: lists train_aug, val (python -m crfrnn.data.download voc2012 sbd; python -m crfrnn.data.train_aug)
           --coco: list trainval2014_voc (python -m crfrnn.data.download coco2014; python -m crfrnn.data.coco_list)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
           packages: pip install -e '.[coco]'
Command    python -m crfrnn.data.coco_list --data COCO --splits train2014 val2014 --out COCO/lists/trainval2014_voc.txt
           python -m train.run --recipe coco_pretrain --data VOCdevkit --coco COCO --init imagenet-v1 --out DIR
Hardware   one GPU
Duration   not run yet
Score      not run yet; published with a dense CRF, mean IoU: 71.0 on val, 72.7 on test

The list holds the images with 200 pixels of VOC's classes or more, as CRF-RNN's did; the paper takes all 123,287. The number
of steps on COCO is ours, about nine epochs. The scores of the last layer are kept, since the labels are the same.
"""

from crfrnn.presets import FixedCRF
from train.recipes.schema import Recipe, Source, Stage
from train.recipes.voc import RECIPE as VOC

RECIPE = Recipe(
    stages={
        "coco": Stage(
            steps=30_000,
            batch_size=30,
            lr=0.001,
            schedule="step",
            step_size=10_000,
            validate_every=5000,
            mixture={"coco": Source(count=30, split="trainval2014_voc", data="coco")},
        ),
        "network": VOC.stages["network"],
    },
    dense_crf=FixedCRF(appearance_weight=5.0, theta_alpha=57.0, theta_beta=5.0),
    workers=8,
)
