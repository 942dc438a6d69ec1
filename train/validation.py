"""Scores of the model on the validation list while it trains."""

from torch.utils.tensorboard import SummaryWriter

from crfrnn.nets import SegmentationModel
from eval.pictures.figures import Album
from eval.scoring.evaluate import evaluate, evenly_spaced
from eval.scoring.methods import Method, network_alone, with_crf
from train import board
from train.state import Run

PICTURES = 4


def validate(run: Run, model: SegmentationModel, writer: SummaryWriter | None, step: int) -> tuple[float, str]:
    """Mean IoU in percent of the model as a whole, and all rows as text; TensorBoard gets scores and pictures."""
    methods: list[Method] = [network_alone()]
    if model.crf is not None:
        methods.append(with_crf(model.crf, {model.crf.num_iterations: "CRF-RNN"}))
    dataset = run.validation
    indices = some(len(dataset), run.recipe.val_images)
    names = evenly_spaced([dataset.names[i] for i in indices], PICTURES)
    album = Album(names)
    scores = evaluate(model, dataset, methods, indices=indices, observer=album)
    examples = sorted(run.group.gather(album.examples), key=lambda example: names.index(example.name))
    if writer is not None:
        board.write_scores(writer, scores, step)
        board.write_panels(writer, examples, dataset.classes, step)
        if model.crf is not None:
            board.write_label_terms(writer, model.crf, dataset.classes, step)
    text = "  ".join(f"{row} {values.mean_iou:.2f}" for row, values in scores.items())
    return list(scores.values())[-1].mean_iou, f"mean IoU over {len(indices)} images  {text}"


def some(total: int, count: int | None) -> list[int]:
    """`count` of the numbers below `total`, evenly spaced; all for None."""
    count = total if count is None else min(count, total)
    return [i * total // count for i in range(count)]
