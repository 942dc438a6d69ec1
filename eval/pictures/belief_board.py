"""Mean field in TensorBoard, the iteration as the step, so that the slider of the pictures walks through it."""

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from eval.pictures.belief_maps import frames
from eval.pictures.iterations import Iterations


def write_iterations(writer: SummaryWriter, name: str, photo: Tensor, seen: Iterations) -> None:
    """Score and belief maps of every label in `seen`, and its curves.

    Args:
        name: of the image; it heads the group of its pictures and that of its curves.
        photo: uint8 [3, H, W].

    By default TensorBoard keeps ten pictures of a tag: start it with `--samples_per_plugin images=100`.
    """
    for label in seen.labels:
        for t, picture in enumerate(frames(photo, seen, label, curves=False)):
            writer.add_image(f"beliefs of {name}/{label}", picture, t)
    curves = {
        "largest change of a belief": seen.largest_change[1:],
        "mean change of beliefs": seen.mean_change[1:],
        "free energy per pixel": seen.free_energy,
        "mean IoU": seen.mean_iou,
    }
    for title, values in curves.items():
        for t, value in enumerate(values, start=len(seen.scores) - len(values)):
            writer.add_scalar(f"mean field of {name}/{title}", value, t)
