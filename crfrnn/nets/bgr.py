"""The CRF of networks that were published for Caffe: it looks at the image as they do, in BGR and minus a mean color."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from crfrnn.meanfield import CRFRNN, MeanFieldState
from crfrnn.state import widened


class CRFOnBGR(CRFRNN):
    """A CRFRNN that takes RGB images and compares the colors of BGR images minus a mean color.

    Exact kernels are the same for both. The lattice cuts color space into simplices, and where it cuts depends on the order
    of the channels and on the mean: without them, up to two labels in a thousand differ from those of the original.

    Args:
        mean_bgr: the mean color, blue first.
        settings: all others, as of CRFRNN.
    """

    def __init__(self, *, mean_bgr: Sequence[float], **settings: Any) -> None:
        super().__init__(**settings)
        self.mean_bgr = tuple(mean_bgr)

    def forward(self, unary: Tensor, image: Tensor | None = None, *args: Any, **options: Any) -> Tensor:
        """As of CRFRNN."""
        return super().forward(unary, self._in_bgr(image), *args, **options)

    def iterate(
        self, unary: Tensor, image: Tensor | None = None, *args: Any, **options: Any
    ) -> Iterator[MeanFieldState]:
        """As of CRFRNN."""
        return super().iterate(unary, self._in_bgr(image), *args, **options)

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "mean_bgr": list(self.mean_bgr)}

    def _in_bgr(self, image: Tensor | None) -> Tensor | None:
        if not isinstance(image, Tensor) or image.ndim < 3 or not image.is_floating_point():
            return image  # refused by CRFRNN, with reasons
        if image.shape[1] != 3:
            raise ValueError(
                f"image has shape {list(image.shape)}; wanted RGB [B, 3, H, W], of which this CRF takes BGR"
            )
        image = widened(image)
        return image.flip(1) - image.new_tensor(self.mean_bgr).view(3, *[1] * (image.ndim - 2))


def crf_from_settings(settings: Mapping[str, Any]) -> CRFRNN:
    """The layer that `settings` describes, on RGB or on BGR; see `CRFRNN.from_settings`."""
    return (CRFOnBGR if "mean_bgr" in settings else CRFRNN).from_settings(settings)
