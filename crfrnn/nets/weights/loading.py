"""Load tensors into a model by name: all of them or, with an error that says what does not fit, none."""

from collections.abc import Iterable, Mapping, Sequence

import torch

from crfrnn.nets.assembly import Network, SegmentationModel
from crfrnn.nets.deeplab import DeepLab, DeepLabMSc
from crfrnn.nets.fcn import FCN


@torch.no_grad()
def load_tensors(
    model: SegmentationModel | Network,
    tensors: Mapping[str, torch.Tensor],
    *,
    accept_missing: Sequence[str] = (),
    accept_left_over: Sequence[str] = (),
) -> list[str]:
    """Copy `tensors` into the parameters of the same names; returns the names of those that were reinitialized instead.

    Where label layers (the scores; the pair term of a CRF) come with another number of labels, the rest is loaded, the
    scores are reinitialized, and the pair term stays as the model was built with.

    Args:
        model: a whole model (names begin with "network." and "crf.") or a network (names without).
        accept_missing: parameters that may keep what they hold: names, or beginnings of names up to a dot.
        accept_left_over: tensors without a parameter to go to, likewise.

    Raises ValueError, with the model untouched, where a tensor is missing, left over or of a wrong shape.
    """
    network = model.network if isinstance(model, SegmentationModel) else model
    own = model.state_dict()
    missing = [name for name in own if name not in tensors and not covered(name, accept_missing)]
    left_over = [name for name in tensors if name not in own and not covered(name, accept_left_over)]
    if missing or left_over:
        raise ValueError(
            f"the weights do not fit the model: missing {_listed(missing)}; left over {_listed(left_over)}. Load them into "
            "the network they belong to, or accept these by name"
        )
    unfit = [name for name, tensor in own.items() if name in tensors and tensors[name].shape != tensor.shape]
    groups = label_groups(model) if unfit else []
    reset: list[str] = []
    for name in unfit:
        other = _other_labels(tensors[name], own[name], network.num_labels)
        group = next((group for group in groups if other and name in group), None)
        if group is None:
            raise ValueError(
                f"{name} has shape {list(tensors[name].shape)}, the model wants {list(own[name].shape)}; build the model "
                "with the name and width these weights are of"
            )
        reset += [each for each in group if each not in reset]
    for name, tensor in own.items():
        if name in tensors and name not in reset:
            tensor.copy_(tensors[name])
    if any(not name.startswith("crf.") for name in reset):
        network.reset_scores()
    return [name for name in own if name in reset]


def start_from(network: Network, trained: Network) -> list[str]:
    """Give `network` every layer it shares with `trained`, a coarser stage of it; returns the names of the other layers.

    The stages are FCN-32s -> FCN-16s -> FCN-8s (the new skip starts at zero, so that it adds nothing) and a single-scale
    DeepLab -> its MSc. Upsampling layers stay bilinear where the stages do not have them in common. Raises ValueError for
    networks of which neither is a stage of the other.
    """
    if isinstance(network, FCN) and isinstance(trained, FCN):
        follows = len(network.variant.skips) > len(trained.variant.skips)
    else:
        follows = isinstance(network, DeepLabMSc) and isinstance(trained, DeepLab)
    if not follows:
        raise ValueError(
            f"{trained.variant} is not a stage before {network.variant}; wanted fcn-32s -> fcn-16s -> fcn-8s, or a deeplab "
            "network -> its msc"
        )
    tensors, own = trained.state_dict(), network.state_dict()
    new = [name for name in own if name not in tensors]
    old = [name for name in tensors if name not in own]
    reset = load_tensors(network, tensors, accept_missing=new, accept_left_over=old)
    return sorted({name.split(".")[0] for name in [*new, *reset]})


def label_groups(model: SegmentationModel | Network) -> list[list[str]]:
    """Names of the tensors whose shapes follow the number of labels: of the network, and of the CRF."""
    if not isinstance(model, SegmentationModel):
        return [[name for name in model.state_dict() if name.rpartition(".")[0] in model.label_layers]]
    groups = [[f"network.{name}" for name in label_groups(model.network)[0]]]
    return (
        groups
        if model.crf is None
        else [*groups, [f"crf.cell.{name}" for name, _ in model.crf.cell.named_parameters()]]
    )


def _other_labels(theirs: torch.Tensor, ours: torch.Tensor, num_labels: int) -> bool:
    """Whether two tensors of a label layer differ in nothing but the number of labels."""
    sizes = zip(theirs.shape, ours.shape, strict=False)
    return theirs.ndim == ours.ndim and all(their == our or our == num_labels for their, our in sizes)


def covered(name: str, accepted: Iterable[str]) -> bool:
    """Whether `name`, with or without a leading "network.", is in `accepted` or begins with one of these and a dot."""
    names = (name, name.removeprefix("network."))
    return any(each == name or name.startswith(f"{each}.") for each in accepted for name in names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "nothing"
