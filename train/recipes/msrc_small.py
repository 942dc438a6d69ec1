"""MSRC-21 within two cores and an hour: images at three quarters of their size, the first three blocks kept from ImageNet.

Needs      --data: lists Train, Val (python -m crfrnn.data.download msrc21; write the lists yourself)
           --init: FILE, the original VGG-16 convolutions as .npz, or imagenet, the same from torchvision
Command    python -m train.run --recipe msrc_small --data MSRC --init FILE --out DIR
           python -m eval.tuning.grid_crf --checkpoint DIR/network.pt --data MSRC --list Test --tune-list Val --out RESULTS
Hardware   two CPU cores
Duration   twenty minutes for the network (an hour on a core that others use too)
Score      pixel and class accuracy on the 256 images of the test list, percent: network 91.5 and 89.5, with a fully
           connected CRF 92.7 and 90.0 (eval/results); the joint stage has not been run to its end

FILE holds the original VGG-16 convolutions, see crfrnn.nets.load_imagenet.
"""

from dataclasses import replace

from train.recipes import msrc, voc_small
from train.recipes.schema import Recipe

NETWORK = replace(voc_small.NETWORK, steps=1000, crop=257, validate_every=0)
JOINT = replace(voc_small.JOINT, steps=100, crop=257)

CONTROL = replace(JOINT, trains="network", like="joint")

RECIPE: Recipe = replace(
    msrc.RECIPE, stages={"network": NETWORK, "joint": JOINT, "control": CONTROL}, input_scale=0.75, workers=1
)
