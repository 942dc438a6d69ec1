"""Nose, wing, wheel and vertical stabilizer of AeroplaneOID, in crops at one scale.

Needs      --data: lists train, val (of AeroplaneOID, https://www.robots.ox.ac.uk/~vgg/data/oid/)
           --init: imagenet-v1, which torchvision downloads (python -m crfrnn.data.download vgg16-imagenet)
           packages: pip install -e '.[parts]'
Command    python -m train.run --recipe parts_aeroplane --data oid-aeroplane --init imagenet-v1 --out DIR
Hardware   one GPU
Duration   not run yet
Score      not run yet

With `--data VOCdevkit/VOC2010` the aeroplanes of PASCAL-Part take their place (body, stern, wing, tail, engine, wheel).
"""

from dataclasses import replace

from crfrnn.parts import Parts
from train.recipes.parts_person import RECIPE as PERSON

RECIPE = replace(
    PERSON,
    parts=Parts(classes=("aeroplane",), side=225, smallest=64),
    train_list="train",
    val_list="val",
)
