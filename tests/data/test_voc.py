import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from crfrnn.data import VOC_CLASSES, VOCSegmentation, write_labels


def object_label(dataset: VOCSegmentation) -> int:
    """The label by which the fixtures tell the mask folders apart."""
    return int(dataset[0].labels[-1, -1])


def test_classes_of_voc() -> None:
    assert len(VOC_CLASSES) == 21
    assert [VOC_CLASSES[label] for label in (0, 1, 8, 12, 15, 20)] == [
        "background",
        "aeroplane",
        "cat",
        "dog",
        "person",
        "tvmonitor",
    ]


def test_samples(voc: Path, add_sample: Callable[..., Tensor]) -> None:
    expected = add_sample(voc, "2007_000063", size=(1, 9))
    dataset = VOCSegmentation(voc, "train")
    assert len(dataset) == 2
    assert dataset.names == ["2007_000039", "2007_000063"]
    assert dataset.classes == VOC_CLASSES
    assert dataset.num_labels == 21
    image, labels, name = dataset[1]
    assert name == "2007_000063"
    assert image.dtype == torch.uint8
    assert image.shape == (3, 1, 9)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels, expected)
    color = torch.tensor([200, 40, 90]).view(3, 1, 1)
    assert (image.long() - color).abs().max() <= 3  # JPEG
    assert [sample.name for sample in dataset] == dataset.names


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_root_may_be_given_at_three_heights(tmp_path: Path, voc: Path, below: str) -> None:
    assert VOCSegmentation(tmp_path / below, "train").root == voc
    assert VOCSegmentation(str(tmp_path / below), "train").root == voc


class TestMasks:
    OFFICIAL, AUGMENTED = 15, 12

    @pytest.mark.parametrize(
        ("split", "label"), [("train", OFFICIAL), ("val", OFFICIAL), ("trainval", OFFICIAL), ("train_aug", AUGMENTED)]
    )
    def test_default(self, voc: Path, add_list: Callable[..., Path], split: str, label: int) -> None:
        add_list(voc, split, "2007_000039")
        assert object_label(VOCSegmentation(voc, split)) == label

    def test_own_list_takes_the_augmented_masks(self, voc: Path, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("2007_000063")
        assert object_label(VOCSegmentation(voc, tmp_path / "mine.txt")) == self.AUGMENTED

    def test_list_of_voc_elsewhere_takes_the_official_masks(self, voc: Path, tmp_path: Path) -> None:
        (tmp_path / "val.txt").write_text("2007_000063")
        assert object_label(VOCSegmentation(voc, str(tmp_path / "val.txt"))) == self.OFFICIAL

    def test_choice(self, voc: Path) -> None:
        assert object_label(VOCSegmentation(voc, "train", masks="SegmentationClassAug")) == self.AUGMENTED
        assert object_label(VOCSegmentation(voc, "train_aug", masks="SegmentationClass")) == self.OFFICIAL

    @pytest.mark.parametrize("only", ["SegmentationClass", "SegmentationClassAug"])
    @pytest.mark.parametrize("split", ["train", "train_aug"])
    def test_the_only_folder_is_taken(
        self, tmp_path: Path, add_sample: Callable[..., Tensor], add_list: Callable[..., Path], only: str, split: str
    ) -> None:
        add_sample(tmp_path, "a", masks=only, label=3)
        add_list(tmp_path, split, "a")
        assert object_label(VOCSegmentation(tmp_path, split)) == 3

    @pytest.mark.parametrize("masks", [None, "Weak"])
    def test_no_folder(self, tmp_path: Path, add_list: Callable[..., Path], masks: str | None) -> None:
        (tmp_path / "JPEGImages").mkdir()
        add_list(tmp_path, "train", "a")
        with pytest.raises(
            FileNotFoundError,
            match=r"has no folder (Weak|SegmentationClass or .*Aug); give the name of its folder of masks",
        ):
            VOCSegmentation(tmp_path, "train", masks=masks)


class TestLists:
    def test_lines_of_deeplab_give_the_paths(self, voc: Path, add_list: Callable[..., Path]) -> None:
        line = "/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png"
        add_list(voc, "train", line.format("2007_000063"), "2007_000039")
        dataset = VOCSegmentation(voc, "train")
        assert dataset.names == ["2007_000063", "2007_000039"]
        assert object_label(dataset) == 12
        assert int(dataset[1].labels[-1, -1]) == 15

    def test_lists_of_paths_need_no_known_mask_folder(self, voc: Path, add_list: Callable[..., Path]) -> None:
        (voc / "SegmentationClass").rename(voc / "Mine")
        (voc / "SegmentationClassAug").rename(voc / "Other")
        add_list(voc, "mine", "JPEGImages/2007_000039.jpg Mine/2007_000039.png")
        assert object_label(VOCSegmentation(voc, "mine")) == 15

    def test_masks_against_paths_is_refused(self, voc: Path, add_list: Callable[..., Path]) -> None:
        add_list(voc, "train", "/JPEGImages/2007_000039.jpg /SegmentationClassAug/2007_000039.png")
        with pytest.raises(ValueError, match=r"names its own mask files .* the folder 'SegmentationClass' was given"):
            VOCSegmentation(voc, "train", masks="SegmentationClass")

    def test_blank_lines_and_windows_line_ends(self, voc: Path, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_bytes(b"\r\n2007_000063\r\n\r\n  2007_000039 \r\n")
        assert VOCSegmentation(voc, tmp_path / "mine.txt").names == ["2007_000063", "2007_000039"]

    def test_a_byte_order_mark_is_no_part_of_a_name(self, voc: Path, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("2007_000063\n", encoding="utf-8-sig")
        assert VOCSegmentation(voc, tmp_path / "mine.txt").names == ["2007_000063"]

    def test_other_encodings(self, voc: Path, tmp_path: Path) -> None:
        for encoding in ("latin-1", "utf-16"):
            (tmp_path / "mine.txt").write_text("2007_000063 ä\n", encoding=encoding)
            with pytest.raises(ValueError, match=r"mine\.txt is not text in UTF-8 .*; save it as UTF-8"):
                VOCSegmentation(voc, tmp_path / "mine.txt")

    def test_missing(self, voc: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"no list test: found train, train_aug in .*path of a list file"):
            VOCSegmentation(voc, "test")

    def test_none_at_all(self, tmp_path: Path) -> None:
        (tmp_path / "JPEGImages").mkdir()
        with pytest.raises(FileNotFoundError, match=r"no list train: found none"):
            VOCSegmentation(tmp_path, "train")

    def test_empty(self, voc: Path, add_list: Callable[..., Path]) -> None:
        add_list(voc, "train", "", "  ")
        with pytest.raises(ValueError, match=r"list .*train\.txt is empty"):
            VOCSegmentation(voc, "train")

    def test_malformed(self, voc: Path, add_list: Callable[..., Path]) -> None:
        add_list(voc, "train", "2007_000039", "one two three")
        with pytest.raises(ValueError, match=r"train\.txt, entry 2: got 'one two three'; wanted an id"):
            VOCSegmentation(voc, "train")


class TestClasses:
    def test_names_come_from_the_set(self, voc: Path) -> None:
        (voc / "classes.txt").write_text("\n".join(["background", *(f"thing {k}" for k in range(1, 40))]))
        dataset = VOCSegmentation(voc, "train")
        assert dataset.num_labels == 40
        assert dataset.classes[39] == "thing 39"

    @pytest.mark.parametrize("text", ["", "background\n", "background\ncat\ncat\n"])
    def test_unusable(self, voc: Path, text: str) -> None:
        (voc / "classes.txt").write_text(text)
        with pytest.raises(ValueError, match=r"classes\.txt has \d lines, \d of them different; wanted 2 to 255"):
            VOCSegmentation(voc, "train")


class TestDamage:
    def test_no_root(self, tmp_path: Path) -> None:
        with pytest.raises(
            FileNotFoundError,
            match=r"there is no folder .*nowhere; wanted one laid out like VOCdevkit.*data.download voc2012",
        ):
            VOCSegmentation(tmp_path / "nowhere", "train")

    def test_root_without_images(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="holds neither JPEGImages nor VOC2012/JPEGImages"):
            VOCSegmentation(tmp_path, "train")

    @pytest.mark.parametrize("victim", ["JPEGImages/2007_000063.jpg", "SegmentationClass/2007_000063.png"])
    def test_missing_file_is_found_at_once(self, voc: Path, victim: str) -> None:
        (voc / victim).unlink()
        with pytest.raises(FileNotFoundError, match=rf"1 file listed in .*train\.txt does not exist: .*{victim}\."):
            VOCSegmentation(voc, "train")

    def test_many_missing_files_are_counted(self, voc: Path, add_list: Callable[..., Path]) -> None:
        add_list(voc, "train", "a", "b", "c", "sub/d")
        with pytest.raises(FileNotFoundError, match=r"8 files .*a\.jpg, .*b\.jpg, .*c\.jpg, \.\.\.") as caught:
            VOCSegmentation(voc, "train")
        assert "d.jpg" not in str(caught.value)

    def test_sizes_differ(self, voc: Path) -> None:
        write_labels(voc / "SegmentationClass" / "2007_000039.png", torch.zeros(8, 9, dtype=torch.uint8))
        wanted = r"SegmentationClass/2007_000039\.png is 9 x 8 but its image .*2007_000039\.jpg is 10 x 8"
        with pytest.raises(ValueError, match=wanted):
            VOCSegmentation(voc, "train")[0]

    @pytest.mark.parametrize("label", [21, 37, 254])
    def test_label_out_of_range(self, voc: Path, label: int) -> None:
        labels = torch.zeros(8, 10, dtype=torch.uint8)
        labels[3, 4:6] = label
        write_labels(voc / "SegmentationClass" / "2007_000039.png", labels)
        dataset = VOCSegmentation(voc, "train")
        expected = rf"2007_000039\.png holds the label {label} in 2 pixels; wanted 0\.\.20, or 255.*classes\.txt"
        with pytest.raises(ValueError, match=expected):
            dataset[0]
        dataset[1]

    def test_color_mask(self, voc: Path) -> None:
        Image.new("RGB", (10, 8)).save(voc / "SegmentationClass" / "2007_000039.png")
        with pytest.raises(ValueError, match=r"SegmentationClass/2007_000039\.png holds RGB pixels"):
            VOCSegmentation(voc, "train")[0]

    @pytest.mark.parametrize("victim", ["JPEGImages/2007_000039.jpg", "SegmentationClass/2007_000039.png"])
    def test_truncated_file(self, voc: Path, victim: str) -> None:
        content = (voc / victim).read_bytes()
        (voc / victim).write_bytes(content[: len(content) * 2 // 3])
        with pytest.raises(ValueError, match=re.escape(victim) + " cannot be decoded"):
            VOCSegmentation(voc, "train")[0]


def test_pickles(voc: Path) -> None:
    dataset = pickle.loads(pickle.dumps(VOCSegmentation(voc, "train")))
    assert dataset.names == ["2007_000039", "2007_000063"]
    assert torch.equal(dataset[1].labels, VOCSegmentation(voc, "train")[1].labels)


def test_workers_read_what_the_process_reads(voc: Path) -> None:
    dataset = VOCSegmentation(voc, "train")
    for batch, sample in zip(DataLoader(dataset, batch_size=1, num_workers=2), dataset, strict=True):
        assert list(batch.name) == [sample.name]
        assert torch.equal(batch.image[0], sample.image)
        assert torch.equal(batch.labels[0], sample.labels)


def test_a_missing_train_aug_names_the_command_that_makes_it(tmp_path: Path) -> None:
    (tmp_path / "JPEGImages").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no list train_aug: .*python -m crfrnn\.data\.train_aug --voc"):
        VOCSegmentation(tmp_path, "train_aug")
    with pytest.raises(FileNotFoundError, match=r"path of a list file$"):
        VOCSegmentation(tmp_path, "other")
