"""Recipes, one a file, headed by command, hardware, duration and score."""

from train.recipes import msrc, parts_aeroplane, parts_animal, parts_person, toy, voc, voc_fcn8s, voc_msc, voc_small
from train.recipes.schema import Crf, Recipe, Stage

RECIPES = {
    "toy": toy.RECIPE,
    "voc": voc.RECIPE,
    "voc_msc": voc_msc.RECIPE,
    "voc_fcn8s": voc_fcn8s.RECIPE,
    "voc_small": voc_small.RECIPE,
    "msrc": msrc.RECIPE,
    "parts_person": parts_person.RECIPE,
    "parts_animal": parts_animal.RECIPE,
    "parts_aeroplane": parts_aeroplane.RECIPE,
}

__all__ = ["RECIPES", "Crf", "Recipe", "Stage"]
