"""Evaluation of segmentation models: scores, label maps and pictures. Runs from the checkout; not packaged."""
