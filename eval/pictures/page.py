"""Comparisons as one self-contained HTML page: its pictures are embedded, so that it can be mailed and opened anywhere."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jinja2 import Environment, StrictUndefined
from PIL import Image
from torch import Tensor

from crfrnn.data import VOID, voc_palette
from eval.pictures.comparison import Comparison
from eval.scoring.metrics import Scores

TEMPLATE = Path(__file__).with_name("page.html")
CLOSE_UP_PIXELS = 320  # close-ups are enlarged to this side, so that browsers do not blur them


def comparison_page(
    sections: Mapping[str, Sequence[Comparison]],
    classes: Sequence[str],
    scores: Mapping[str, Scores],
    **texts: Any,
) -> str:
    """The page.

    Args:
        sections: headings and what stands below them; all comparisons have the same columns.
        classes: names of the labels.
        scores: of the columns over all images.
        texts: title, differences (text by column), count (of images), before and after (columns the gain is between),
            facts (names and words).
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    every = [each for comparisons in sections.values() for each in comparisons]
    images = {heading: [_image(each, classes) for each in group] for heading, group in sections.items()}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        sections=images,
        columns=every[0].titles(),
        legend=_legend(every, classes),
        filters=_filters([image["classes"] for group in images.values() for image in group], classes),
        scores=scores,
        **texts,
    )


def _image(comparison: Comparison, classes: Sequence[str]) -> dict[str, Any]:
    _, height, width = comparison.image.shape
    top, left, side = comparison.window
    cells = []
    for title, picture in zip(["photo", *comparison.labels], comparison.pictures(classes), strict=True):
        close = _source(comparison.crop(picture), enlarge=True)
        score = f"{comparison.mean_iou[title]:.1f}" if title in comparison.mean_iou else ""
        cells.append({"title": title, "score": score, "whole": _source(picture), "close": close})
    box = {"left": left / width, "top": top / height, "width": side / width, "height": side / height}
    return {
        "name": comparison.name,
        "gain": comparison.gain,
        "classes": [name for name in _names([comparison], classes) if name not in ("void", "background")],
        "cells": cells,
        "window": "; ".join(f"{name}: {100 * part:.2f}%" for name, part in box.items()),
    }


def _source(picture: Tensor, enlarge: bool = False) -> str:
    """A picture uint8 [3, H, W] as the address of an <img>."""
    image = Image.fromarray(rearrange(picture, "c h w -> h w c").numpy())
    if enlarge:
        image = image.resize((CLOSE_UP_PIXELS, CLOSE_UP_PIXELS), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, format="WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def _legend(comparisons: Sequence[Comparison], classes: Sequence[str]) -> dict[str, str]:
    """Names and colors of the labels in sight."""
    names = {}
    for name, label in _names(comparisons, classes).items():
        red, green, blue = voc_palette()[label].tolist()
        names[name] = "transparent" if name == "background" else f"rgb({red}, {green}, {blue})"
    return names


def _names(comparisons: Sequence[Comparison], classes: Sequence[str]) -> dict[str, int]:
    """The labels that truth or any column of some comparisons hold, by name."""
    maps = [labels.flatten() for each in comparisons for labels in each.labels.values()]
    return {"void" if label == VOID else classes[label]: label for label in torch.cat(maps).unique().tolist()}


def _filters(of_images: Sequence[Sequence[str]], classes: Sequence[str]) -> dict[str, int]:
    """The classes that images can be chosen by, and how many images have them."""
    counts = {name: sum(name in present for present in of_images) for name in classes}
    return {name: count for name, count in counts.items() if count}
