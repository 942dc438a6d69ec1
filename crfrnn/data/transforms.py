"""Joint transforms: image and labels go through the same random geometry and stay registered pixel by pixel.

All randomness comes from torch's global generator, so a caller who seeds it gets the same sample again.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from crfrnn._torchvision import tv_tensors, v2
from crfrnn.data.sample import VOID

MEAN_RGB = (122.675, 116.669, 104.008)  # of the ImageNet training images, as DeepLab pads with it


class JointTransform:
    """Run torchvision v2 transforms one after another over an image and its labels.

    Called with image [3, H, W] (uint8 or float, RGB 0..255) and labels [H, W] (integers, 255 void), it returns
    image float32 [3, h, w], still RGB 0..255, and labels int64 [h, w].

    Raises:
        ValueError: the image is not [3, H, W], is empty, or the labels have another height or width.
    """

    def __init__(self, steps: Sequence[Any]) -> None:
        self.steps = tuple(steps)

    def __call__(self, image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if image.ndim != 3 or image.shape[0] != 3 or image.shape[1:] != labels.shape or labels.numel() == 0:
            raise ValueError(
                f"got image {list(image.shape)} and labels {list(labels.shape)}; "
                "wanted [3, H, W] and [H, W] of equal size: transform one sample at a time, before batching"
            )
        # Floating point before any geometry: the mean color is not a whole number, and nothing is rounded twice.
        pair = tv_tensors.Image(image.float()), tv_tensors.Mask(labels)
        for step in self.steps:
            pair = step(*pair)
        return pair[0].as_subclass(Tensor), pair[1].as_subclass(Tensor).long()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.steps))})"


class RandomScale(v2.Transform):
    """Resize both axes by one factor, uniform in `scale`; images bilinearly and antialiased, labels by nearest pixel."""

    def __init__(self, scale: tuple[float, float]) -> None:
        super().__init__()
        self.scale = scale

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        factor = float(torch.empty(()).uniform_(*self.scale))
        height, width = flat_inputs[0].shape[-2:]
        return {"size": [max(1, round(height * factor)), max(1, round(width * factor))]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Mask):
            return v2.functional.resize(inpt, params["size"], interpolation=v2.InterpolationMode.BILINEAR)
        # resize() takes plain "nearest" for masks (older releases: whatever is asked for), which rounds toward the top
        # left and would shift labels against the image by half a pixel.
        resized = v2.functional.resize_image(
            inpt.as_subclass(Tensor)[None], params["size"], interpolation=v2.InterpolationMode.NEAREST_EXACT
        )
        return tv_tensors.wrap(resized[0], like=inpt)


class PadToCrop(v2.Transform):
    """Pad bottom and right up to `size`: images with the mean color, labels with void."""

    def __init__(self, size: tuple[int, int], mean: Sequence[float]) -> None:
        super().__init__()
        self.size = size
        self.mean = list(mean)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        height, width = inpt.shape[-2:]
        padding = [0, 0, max(0, self.size[1] - width), max(0, self.size[0] - height)]  # left, top, right, bottom
        fill = VOID if isinstance(inpt, tv_tensors.Mask) else self.mean
        return v2.functional.pad(inpt, padding, fill=fill)


def padded(images: Tensor, mean: Sequence[float] = MEAN_RGB) -> Tensor:
    """Where `PadToCrop` has added pixels: images [B, 3, H, W] -> bool [B, H, W].

    They have exactly the color `mean`, which is no whole number and which resizing does not hit: no pixel of a photograph.
    """
    return (images == images.new_tensor(mean)[:, None, None]).all(1)


class Mirror(v2.RandomHorizontalFlip):
    """Swap left and right with probability 1/2; label l becomes `mirrored[l]`."""

    def __init__(self, mirrored: Sequence[int] | None) -> None:
        super().__init__()
        self.table: Tensor | None = None
        if mirrored is not None:
            self.table = torch.arange(256)
            self.table[: len(mirrored)] = torch.tensor(mirrored)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        flipped = super().transform(inpt, params)
        if self.table is None or not isinstance(inpt, tv_tensors.Mask):
            return flipped
        return tv_tensors.wrap(self.table[flipped.as_subclass(Tensor).long()], like=inpt)


def train_transform(
    crop: int | tuple[int, int],
    scale: tuple[float, float] = (0.75, 1.25),
    mirror: bool = True,
    mean: Sequence[float] = MEAN_RGB,
    mirrored: Sequence[int] | None = None,
) -> JointTransform:
    """Random scale, then a random crop, then a mirror image with probability 1/2.

    Images smaller than the crop are first padded at the bottom and the right, with `mean` and with void, as in DeepLab.

    Args:
        crop: height and width of the result in pixels; one number for a square.
        scale: the range of the scale factor; (1, 1) leaves the size alone.
        mirror: whether to mirror left and right with probability 1/2.
        mean: the padding color, RGB 0..255.
        mirrored: what each label becomes in a mirror image, where left and right have labels of their own.

    Raises:
        ValueError: an empty crop, a scale range that is not 0 < low <= high, or a color without three channels.
    """
    size = (crop, crop) if isinstance(crop, int) else (int(crop[0]), int(crop[1]))
    low, high = scale
    if min(size) < 1:
        raise ValueError(f"got crop={crop}; wanted a height and a width of at least one pixel")
    if not 0 < low <= high:
        raise ValueError(f"got scale={scale}; wanted 0 < low <= high, for example (0.75, 1.25)")
    if len(mean) != 3:
        raise ValueError(f"got mean={mean}; wanted three channels, RGB 0..255")
    steps: list[Any] = [] if low == high == 1 else [RandomScale((low, high))]
    steps += [PadToCrop(size, mean), v2.RandomCrop(size)]
    if mirror:
        steps.append(Mirror(mirrored))
    return JointTransform(steps)


def test_transform() -> JointTransform:
    """The types of `JointTransform` and no geometry: for whole images, which are scored at their own size."""
    return JointTransform([])


# Its name is that of a test function to pytest, which would collect it from every module that imports it.
test_transform.__test__ = False  # type: ignore[attr-defined]


def seeded(transform: JointTransform, image: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Run `transform` as if the generator had just been seeded, and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the accelerators, whose state is not saved here.
        torch.default_generator.manual_seed(seed)
        return transform(image, labels)
