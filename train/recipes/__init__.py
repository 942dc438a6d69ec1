"""Recipes, one a file, headed by what it needs, command, hardware, duration and score."""

from train.recipes import (
    coco_joint,
    coco_pretrain,
    msrc,
    msrc_small,
    parts_aeroplane,
    parts_animal,
    parts_person,
    semi_box,
    semi_image,
    toy,
    voc,
    voc_fcn8s,
    voc_mobilenet,
    voc_msc,
    voc_small,
    weak_box_em,
    weak_box_rect,
    weak_box_seg,
    weak_image,
    weak_scribble,
)
from train.recipes.schema import Crf, CrfLoss, EStep, Loss, Recipe, Source, Stage

RECIPES = {
    "toy": toy.RECIPE,
    "voc": voc.RECIPE,
    "voc_msc": voc_msc.RECIPE,
    "voc_fcn8s": voc_fcn8s.RECIPE,
    "voc_small": voc_small.RECIPE,
    "voc_mobilenet": voc_mobilenet.RECIPE,
    "msrc": msrc.RECIPE,
    "msrc_small": msrc_small.RECIPE,
    "weak_image": weak_image.RECIPE,
    "weak_box_rect": weak_box_rect.RECIPE,
    "weak_box_seg": weak_box_seg.RECIPE,
    "weak_box_em": weak_box_em.RECIPE,
    "weak_scribble": weak_scribble.RECIPE,
    "semi_image": semi_image.RECIPE,
    "semi_box": semi_box.RECIPE,
    "coco_pretrain": coco_pretrain.RECIPE,
    "coco_joint": coco_joint.RECIPE,
    "parts_person": parts_person.RECIPE,
    "parts_animal": parts_animal.RECIPE,
    "parts_aeroplane": parts_aeroplane.RECIPE,
}

__all__ = ["RECIPES", "Crf", "CrfLoss", "EStep", "Loss", "Recipe", "Source", "Stage"]
