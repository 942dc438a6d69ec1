"""Nose, wing, wheel and vertical stabilizer of AeroplaneOID, in crops at one scale.

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
