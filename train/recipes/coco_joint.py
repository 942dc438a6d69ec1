"""DeepLab-LargeFOV on PASCAL VOC and COCO together, the trunk and the scores of VOC's labels shared (Cross-Joint).

Needs      --data: lists train_aug, val (python -m crfrnn.data.download voc2012 sbd; python -m crfrnn.data.train_aug)
           --coco: list trainval2014_voc (python -m crfrnn.data.download coco2014; python -m crfrnn.data.coco_list)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
           packages: pip install -e '.[coco]'
Command    python -m crfrnn.data.coco_list --data COCO --splits train2014 val2014 --out COCO/lists/trainval2014_voc.txt
           python -m train.run --recipe coco_joint --data VOCdevkit --coco COCO --init imagenet-v1 --out DIR
Hardware   one GPU
Duration   not run yet
Score      not run yet; published with a dense CRF, mean IoU: 71.7 on val, 73.0 on test

The last layer has 81 scores. Images of COCO are learned with all of them; for images of VOC, and at test time, those of the
60 categories that VOC does not have are added up in that of the background. How the mini-batches of the paper were mixed
is not known: half and half here.
"""

from crfrnn.presets import FixedCRF
from train.recipes.schema import Recipe, Source, Stage

RECIPE = Recipe(
    stages={
        "network": Stage(
            steps=30_000,
            batch_size=30,
            lr=0.001,
            schedule="step",
            step_size=10_000,
            validate_every=5000,
            mixture={
                "voc": Source(count=15, split="train_aug"),
                "coco": Source(count=15, split="trainval2014_voc", data="coco", joint=True),
            },
        ),
    },
    extra_labels=60,
    dense_crf=FixedCRF(appearance_weight=5.0, theta_alpha=73.0, theta_beta=5.0),
    workers=8,
)
