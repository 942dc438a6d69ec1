import math

import pytest
import torch

from eval.scoring.metrics import Confusion, Scores, comparable_scores, image_mean_iou

CLASSES = ["background", "cat", "dog", "cow"]


def scored(prediction: list, truth: list, classes: list[str] = CLASSES) -> Scores:
    confusion = Confusion(classes)
    confusion.update(torch.tensor(prediction), torch.tensor(truth))
    return confusion.scores()


def test_scores_of_a_matrix_worked_out_by_hand() -> None:
    confusion = Confusion(CLASSES[:3])
    confusion.update(torch.tensor([[0, 0, 1], [1, 2, 2]]), torch.tensor([[0, 1, 1], [1, 2, 0]]))
    assert confusion.counts.tolist() == [[1, 0, 1], [1, 2, 0], [0, 0, 1]]  # rows: truth, columns: prediction
    scores = confusion.scores()
    # background 1 / (1 + 1 + 1), cat 2 / (2 + 0 + 1), dog 1 / (1 + 1 + 0)
    assert scores.iou == pytest.approx({"background": 100 / 3, "cat": 200 / 3, "dog": 50.0})
    assert scores.mean_iou == pytest.approx(50.0)
    assert scores.pixel_accuracy == pytest.approx(400 / 6)
    assert scores.class_accuracy == pytest.approx((50 + 200 / 3 + 100) / 3)
    # of the six true pixels two, three and one
    assert scores.weighted_iou == pytest.approx(2 / 6 * 100 / 3 + 3 / 6 * 200 / 3 + 1 / 6 * 50)


def test_void_counts_nowhere() -> None:
    scores = scored([[0, 1, 2, 1]], [[0, 1, 255, 255]])
    assert scores.iou["cat"] == 100
    assert math.isnan(scores.iou["dog"])  # predicted, but only where the truth is void
    assert scores.pixel_accuracy == 100


def test_absent_classes_are_marked_and_left_out_of_the_means() -> None:
    scores = scored([[0, 0, 1, 2]], [[0, 0, 1, 1]])
    assert math.isnan(scores.iou["cow"])
    assert scores.iou["dog"] == 0  # predicted but never true: a mistake, not an absence
    assert scores.present == ["background", "cat", "dog"]
    assert scores.mean_iou == pytest.approx((100 + 50 + 0) / 3)
    assert scores.class_accuracy == pytest.approx((100 + 50) / 2)


def test_mean_over_a_subset() -> None:
    scores = scored([[0, 0, 1, 2]], [[0, 0, 1, 1]])
    assert scores.mean_over(["cat", "dog"]) == pytest.approx(25)
    assert scores.mean_over(["cat", "cow"]) == pytest.approx(50)
    assert math.isnan(scores.mean_over(["cow"]))
    with pytest.raises(ValueError, match="no class 'zebra'; the classes are background, cat, dog, cow"):
        scores.mean_over(["cat", "zebra"])


def test_one_matrix_for_the_whole_set_is_not_the_mean_over_images() -> None:
    images = [([[1]], [[1]]), ([[0, 0, 1]], [[1, 1, 1]])]
    whole = Confusion(CLASSES)
    for prediction, truth in images:
        whole.update(torch.tensor(prediction), torch.tensor(truth))
    single = [scored(prediction, truth).mean_iou for prediction, truth in images]
    assert whole.scores().iou["cat"] == pytest.approx(50)  # 2 of 4 pixels
    assert whole.scores().mean_iou == pytest.approx(25)
    assert sum(single) / 2 == pytest.approx((100 + 100 / 6) / 2)


def test_eight_bit_labels_of_many_classes_do_not_overflow() -> None:
    classes = [str(i) for i in range(200)]
    confusion = Confusion(classes)
    labels = torch.arange(200, dtype=torch.uint8)[None]
    confusion.update(labels, labels)
    assert confusion.counts.equal(torch.eye(200, dtype=torch.int64))


@pytest.mark.parametrize(
    ("prediction", "truth", "error", "message"),
    [
        (torch.zeros(2, 3).long(), torch.zeros(3, 2).long(), ValueError, r"\[2, 3\].*\[3, 2\].*equal size"),
        (torch.zeros(1, 2, 3).long(), torch.zeros(1, 2, 3).long(), ValueError, "equal size"),
        (torch.tensor([[255]]), torch.tensor([[0]]), ValueError, "prediction holds the label 255.*only the truth"),
        (torch.tensor([[255]]), torch.tensor([[255]]), ValueError, "prediction holds the label 255"),
        (torch.tensor([[4]]), torch.tensor([[0]]), ValueError, r"prediction holds the label 4 .*wanted 0\.\.3"),
        (torch.tensor([[-1]]), torch.tensor([[0]]), ValueError, "prediction holds the label -1"),
        (torch.tensor([[0]]), torch.tensor([[4]]), ValueError, "truth holds the label 4"),
        (torch.tensor([[0.0]]), torch.tensor([[0]]), TypeError, "prediction is torch.float32.*argmax"),
        (torch.tensor([[True]]), torch.tensor([[0]]), TypeError, "prediction is torch.bool"),
    ],
)
def test_what_cannot_be_scored_is_an_error_and_counts_nothing(
    prediction: torch.Tensor, truth: torch.Tensor, error: type[Exception], message: str
) -> None:
    confusion = Confusion(CLASSES)
    with pytest.raises(error, match=message):
        confusion.update(prediction, truth)
    assert confusion.counts.sum() == 0


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to score"):
        Confusion(CLASSES).scores()
    with pytest.raises(ValueError, match="void"):
        scored([[0, 1]], [[255, 255]])


def test_comparable_means_are_over_the_classes_of_the_truth() -> None:
    counts = torch.tensor([[6, 2, 0], [1, 3, 1], [0, 0, 0]])
    scores = comparable_scores(counts, ["a", "b", "c"])
    assert scores.present == ["a", "b"]
    assert scores.mean_iou == pytest.approx(100 * (6 / 9 + 3 / 7) / 2)


def test_a_false_speck_does_not_count_as_a_class_of_its_image() -> None:
    truth = torch.zeros(4, 5, dtype=torch.uint8)
    truth[2:], truth[0, 0] = 1, 255
    prediction = truth.clone()
    prediction[0, 0], prediction[0, 1] = 0, 2  # the second is the speck
    assert image_mean_iou(prediction, truth, ["x", "y", "z", "w"]) == pytest.approx((100 * 8 / 9 + 100) / 2)
