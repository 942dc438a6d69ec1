"""The rows of the weak table: what is trained for each, on which lists, and which rows are compared."""

from dataclasses import dataclass

FIELD = "stages.network.mixture"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        recipe: what its runs start from.
        sources: by name: the share of a batch that it has, and its list ("all", "strong" or "weak").
        published: mean IoU, see `ROWS`.
        maps: the kind of label maps it needs from train.targets; None for none.
        changes: in the recipe.
        crf_loss: the source that has the dense CRF loss; None for none.
    """

    title: str
    recipe: str
    sources: dict[str, tuple[float, str]]
    published: str
    maps: str | None = None
    changes: str = ""
    crf_loss: str | None = None


@dataclass(frozen=True)
class Schedule:
    """How the rows of one network are trained: images of a batch, a rate, and all other changes in the recipes."""

    batch: int
    lr: float
    changes: str


SCHEDULES = {
    "deeplab-largefov": Schedule(
        batch=2,
        lr=0.001,
        changes="""--input-scale 0.5 --val-images 50 --workers 1
        --stages.network.schedule poly --stages.network.loss-stride 8
        --stages.network.new-layers-multiplier 2 --stages.network.last-layer-multiplier 5 --stages.network.warmup 20
        --stages.network.scale 0.75 1.25 --stages.network.freeze conv1 conv2 conv3 --stages.network.validate-every 500""",
    ),
    "deeplabv3-mobilenetv2": Schedule(
        batch=4,
        lr=0.003,
        changes="""--input-scale 1 --val-images 10 --workers 0
        --stages.network.schedule poly --stages.network.loss-stride 8
        --stages.network.freeze features. --stages.network.reset aspp pooling projection logits --stages.network.crop None
        --stages.network.scale 1 1 --stages.network.no-mirror --stages.network.as-tested --stages.network.trunk-memory 2
        --stages.network.optimizer adam --stages.network.last-layer-multiplier 1 --stages.network.validate-every 0
        --stages.network.accumulate 4""",
    ),
}
"""By network: that of voc_small from convolutions of ImageNet, and a new head on the frozen trunk of a published network."""


def _image(method: str, published: str, crf_loss: bool = False) -> Row:
    changes = f"--{FIELD}.images.e-step.method {method}"
    return Row(
        _title(f"image labels, {method}", crf_loss),
        "weak_image",
        {"images": (1, "all")},
        published,
        changes=changes,
        crf_loss="images" if crf_loss else None,
    )


def _boxes(kind: str, published: str, crf_loss: bool = False) -> Row:
    return Row(
        _title(f"boxes, {kind}", crf_loss),
        f"weak_box_{kind}",
        {"boxes": (1, "all")},
        published,
        maps="seg" if kind == "seg" else "rect",
        crf_loss="boxes" if crf_loss else None,
    )


def _scribbles(published: str, crf_loss: bool = False) -> Row:
    return Row(
        _title("scribbles", crf_loss),
        "weak_scribble",
        {"scribbles": (1, "all")},
        published,
        maps="scribbles",
        crf_loss="scribbles" if crf_loss else None,
    )


def _masks(title: str, images: str, published: str) -> Row:
    """Masks alone: the recipe of scribbles with masks in their place."""
    changes = f"--{FIELD}.scribbles.annotation pixels --{FIELD}.scribbles.masks None"
    return Row(title, "weak_scribble", {"scribbles": (1, images)}, published, changes=changes)


def _mixed_images() -> Row:
    sources = {"masks": (0.5, "strong"), "images": (0.5, "weak")}
    return Row("200 masks + image labels, em-fixed", "semi_image", sources, "47.6 (200)")


def _mixed_boxes(kind: str, published: str) -> Row:
    sources = {"masks": (0.5, "strong"), "boxes": (0.5, "weak")}
    if kind == "em":
        return Row("200 masks + boxes, em", "semi_box", sources, published, "rect")
    changes = f"--{FIELD}.boxes.annotation pixels --{FIELD}.boxes.masks {kind}"
    return Row(f"200 masks + boxes, {kind}", "semi_box", sources, published, kind, changes)


def _title(what: str, crf_loss: bool) -> str:
    return f"{what} + dense CRF loss" if crf_loss else what


ROWS = {
    "em-fixed": _image("em-fixed", "20.8"),
    "em-adapt": _image("em-adapt", "38.2"),
    "em-adapt-crf": _image("em-adapt", "-", crf_loss=True),
    "mil": _image("mil", "25.7 (test)"),
    "box-rect": _boxes("rect", "52.5"),
    "box-rect-crf": _boxes("rect", "-", crf_loss=True),
    "box-em": _boxes("em", "54.1"),
    "box-seg": _boxes("seg", "60.6"),
    "scribble": _scribbles("55.8 (no CRF)"),
    "scribble-crf": _scribbles("62.3 (no CRF)", crf_loss=True),
    "strong": _masks("200 masks", "strong", "-"),
    "semi-image": _mixed_images(),
    "semi-rect": _mixed_boxes("rect", "62.1 (1,464)"),
    "semi-em": _mixed_boxes("em", "64.8 (1,464)"),
    "semi-seg": _mixed_boxes("seg", "65.1 (1,464)"),
    "full": _masks("all masks", "all", "67.6; 63.0 (no CRF)"),
}
"""By folder. Published: mean IoU on val with a dense CRF, of networks trained on 10,582 images, in parentheses how many of
these have masks; facts of Papandreou et al. 2015 (arXiv 1502.02734). Those without a CRF are of Tang et al. 2018 (rloss)."""

COMPARED = {
    "em-fixed": ("em-adapt", "mil"),
    "em-adapt": ("em-adapt-crf", "box-rect"),
    "box-rect": ("box-rect-crf", "box-em", "box-seg", "full"),
    "box-seg": ("full",),
    "scribble": ("scribble-crf", "full"),
    "scribble-crf": ("full",),
    "strong": ("semi-image", "semi-rect", "semi-em", "semi-seg", "full"),
}
"""By reference, the rows whose differences from it are shown."""
