"""Weights in and out: checkpoints, published files in their own formats, and what has to be done to make them fit."""
