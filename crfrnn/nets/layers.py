"""What a chain of convolutions and poolings does to sizes and positions, as whole-number arithmetic."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Layer:
    """One convolution, or one pooling where the name begins with "pool"; square, `padding` cells on every side."""

    name: str
    kernel: int
    stride: int = 1
    dilation: int = 1
    padding: int = 0

    @property
    def is_pooling(self) -> bool:
        return self.name.startswith("pool")

    @property
    def reach(self) -> int:
        """Distance between the first and the last cell that one output looks at."""
        return self.dilation * (self.kernel - 1)

    def output_size(self, size: int) -> int:
        """Length of the output for an input of length `size`. Poolings round up, as Caffe's do, convolutions down."""
        room = size + 2 * self.padding - self.reach - 1
        if not self.is_pooling:
            return room // self.stride + 1
        steps = -(-room // self.stride)
        if steps * self.stride >= size + self.padding:  # the last window would lie in the padding alone
            steps -= 1
        return steps + 1


def output_size(layers: Iterable[Layer], size: int) -> int:
    """Length of what comes out of `layers` for an input of length `size`."""
    for layer in layers:
        size = layer.output_size(size)
    return size


def stride(layers: Iterable[Layer]) -> int:
    """Input cells between two neighboring outputs."""
    product = 1
    for layer in layers:
        product *= layer.stride
    return product


def origin(layers: Iterable[Layer]) -> Fraction:
    """Where in the input the center of output 0 lies; 0 is the center of the first cell."""
    position, step = Fraction(0), 1
    for layer in layers:
        position += step * (Fraction(layer.reach, 2) - layer.padding)
        step *= layer.stride
    return position


def field(layers: Iterable[Layer]) -> int:
    """Input cells in a row that one output depends on: 1 + sum over the layers of reach times stride so far."""
    cells, step = 1, 1
    for layer in layers:
        cells += step * layer.reach
        step *= layer.stride
    return cells
