"""A frozen trunk computes once for every image: what it gives is kept in memory, from one stage to the next."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from crfrnn.nets import SegmentationModel
from crfrnn.nets.assembly import Forward
from crfrnn.nets.mobilenet import DeepLabV3MobileNetV2

GIGABYTE = 10**9
Key = tuple[bytes, torch.dtype | None, torch.Size, bytes]


@dataclass
class Memory:
    """Results of functions, recognized by the content of their weights and of what they were given, and by the precision.

    They are therefore the same with and without a memory.
    """

    kept: dict[Key, Tensor] = field(default_factory=dict)
    size: int = 0
    """bytes of all results"""

    def of(self, function: Forward, weights: Iterable[Tensor], room: float) -> Forward:
        """`function`, which computes once for every tensor, as long as all results take no more than `room` bytes.

        It gives the same whenever it is called with the same, and its `weights` never change.
        """
        its = digest(weights)

        def remembered(x: Tensor) -> Tensor:
            key = its, autocast(x.device.type), x.shape, digest([x])
            if key in self.kept:
                return self.kept[key]
            result = function(x)
            size = result.numel() * result.element_size()
            if self.size + size <= room:
                self.kept[key] = result
                self.size += size
            return result

        return remembered


def digest(tensors: Iterable[Tensor]) -> bytes:
    """Different for different content."""
    found = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        found.update(tensor.detach().cpu().numpy().tobytes())
    return found.digest()


def autocast(device: str) -> torch.dtype | None:
    """The precision that torch.autocast chooses; None outside of it."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def remembering(model: SegmentationModel, memory: Memory, gigabytes: float) -> Forward:
    """The network of `model`, which looks up in `memory` what its frozen part gives. Raises as `frozen_part`."""
    part, rest = frozen_part(model)
    network = model.network
    weights = [
        tensor for name, tensor in network.state_dict().items() if rest is None or network.family(name) == "trunk"
    ]
    remembered = memory.of(part, weights, gigabytes * GIGABYTE)
    return remembered if rest is None else lambda x: rest(remembered(x))


def frozen_part(model: SegmentationModel) -> tuple[Forward, Forward | None]:
    """The network of `model` where nothing of it learns, and None; or else its frozen trunk, and what comes after.

    Raises ValueError where neither is frozen.
    """
    network = model.network
    learned = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    if not learned:
        return network, None
    if not isinstance(network, DeepLabV3MobileNetV2) or any(network.family(name) == "trunk" for name in learned):
        raise ValueError(
            "nothing can be remembered, as the trunk of the network learns; wanted 0, or the whole network frozen, or "
            "deeplabv3-mobilenetv2 with its features frozen"
        )
    return network.trunk, network.head
