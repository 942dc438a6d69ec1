"""The files of public data sets, with their addresses and terms.

Checksums are those that torchvision checks (`torchvision.datasets.voc`, `torchvision.datasets.sbd`, and the digits in the
name of its VGG-16). Where nobody publishes one there is None, and the command prints the SHA-256 of what came.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """One file: its address, a checksum such as "md5:..." or "sha256:..." (the beginning is enough), and its rough size."""

    url: str
    checksum: str | None
    gigabytes: float

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Source:
    """The files of a data set, its terms, and what they are for once they are unpacked."""

    files: tuple[File, ...]
    terms: str
    use: str


_COCO = "http://images.cocodataset.org"

SOURCES = {
    "voc2012": Source(
        (
            File(
                "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                "md5:6cd6e144f989b92b3379bac3b3de84fd",
                2.0,
            ),
        ),
        "photographs from flickr, under flickr's terms of use; for research",
        "--data {out}/VOCdevkit",
    ),
    "sbd": Source(
        (
            File(
                "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
                "md5:82b4d87ceb2ed10f6038a1cba92111cb",
                1.4,
            ),
        ),
        "photographs of PASCAL VOC, under flickr's terms of use; for research",
        "python -m crfrnn.data.train_aug --voc VOCdevkit --sbd {out}/benchmark_RELEASE/dataset",
    ),
    "vgg16-imagenet": Source(
        (File("https://download.pytorch.org/models/vgg16-397923af.pth", "sha256:397923af", 0.53),),
        "weights of torchvision (BSD 3-Clause), trained on ImageNet, whose terms are for research",
        "--init {out}/vgg16-397923af.pth",
    ),
    "msrc21": Source(
        (
            File(
                "http://download.microsoft.com/download/3/3/9/339D8A24-47D7-412F-A1E8-1A415BC48A15/"
                "msrc_objcategimagedatabase_v2.zip",
                None,
                0.1,
            ),
        ),
        "license of Microsoft Research in the archive: not for commercial use",
        "--data with the folder of Images and GroundTruth in {out}; lists are not in the archive",
    ),
    "coco2017": Source(
        tuple(
            File(f"{_COCO}/{path}", None, size)
            for path, size in (
                ("annotations/annotations_trainval2017.zip", 0.25),
                ("zips/val2017.zip", 0.8),
                ("zips/train2017.zip", 19.3),
            )
        ),
        "annotations: CC BY 4.0; photographs: from flickr, under flickr's terms of use",
        "--data {out} or --coco {out}",
    ),
}
