"""Head, body, leg and tail of five animals on PASCAL-Part, in crops at one scale whose object class is known.

Needs      --data: lists train, val (python -m crfrnn.data.download voc2010 pascal-part)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
           packages: pip install -e '.[parts]'
Command    python -m train.run --recipe parts_animal --data VOCdevkit/VOC2010 --init imagenet-v1 --out DIR
Hardware   one GPU
Duration   not run yet
Score      not run yet

One trunk with a head for each class: in a crop around a cat only the parts of a cat are possible. Without
`--parts.given-class` (`--parts.no-given-class`) all animals share one label space, and the network has to tell them apart.
"""

from dataclasses import replace

from crfrnn.parts import Parts
from train.recipes.parts_person import RECIPE as PERSON

RECIPE = replace(
    PERSON,
    parts=Parts(
        classes=("cat", "cow", "dog", "horse", "sheep"), merge="coarse", side=225, smallest=64, given_class=True
    ),
    train_list="train",
    val_list="val",
)
