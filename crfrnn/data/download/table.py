"""The files of public data sets, with their addresses and terms.

Checksums are those that torchvision checks (`torchvision.datasets.voc`, `torchvision.datasets.sbd`, and the digits in the
name of its VGG-16). Where nobody publishes one there is None, and the command prints the SHA-256 of what came.

Sizes are those of COCO's download page and of torchvision's description of VGG-16; the others are what people who fetched
the files report. Terms are quoted from the page in parentheses; where no license was found, the line says so.
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


_VOC_TERMS = (
    "photographs from flickr, under flickr's terms of use (database rights, "
    "http://host.robots.ox.ac.uk/pascal/VOC/voc{year}/)"
)


def _coco(year: str, val: float, train: float) -> Source:
    files = {
        f"annotations/annotations_trainval{year}.zip": 0.24,
        f"zips/val{year}.zip": val,
        f"zips/train{year}.zip": train,
    }
    return Source(
        tuple(File(f"http://images.cocodataset.org/{path}", None, size) for path, size in files.items()),
        "annotations: CC BY 4.0; photographs: from flickr, under flickr's terms of use "
        "(https://cocodataset.org/#termsofuse)",
        "--data {out} or --coco {out}",
    )


SOURCES = {
    "voc2012": Source(
        (
            File(
                "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                "md5:6cd6e144f989b92b3379bac3b3de84fd",
                2.0,
            ),
        ),
        _VOC_TERMS.format(year=2012),
        "--data {out}/VOCdevkit",
    ),
    "voc2010": Source(
        (
            File(
                "https://thor.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar",
                "md5:da459979d0c395079b5c75ee67908abb",
                1.35,
            ),
        ),
        _VOC_TERMS.format(year=2010),
        "--data {out}, with pascal-part",
    ),
    "pascal-part": Source(
        (File("http://roozbehm.info/pascal-parts/trainval.tar.gz", None, 0.08),),
        "no license was found (http://roozbehm.info/pascal-parts/pascal-parts.html); ask its authors",
        "--data {out}, with voc2010",
    ),
    "sbd": Source(
        (
            File(
                "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
                "md5:82b4d87ceb2ed10f6038a1cba92111cb",
                1.4,
            ),
        ),
        "no license was found (http://home.bharathh.info/pubs/codes/SBD/download.html); its photographs are those of PASCAL "
        "VOC, under flickr's terms of use",
        "python -m crfrnn.data.train_aug --voc VOCdevkit --sbd {out}/benchmark_RELEASE/dataset",
    ),
    "vgg16-imagenet": Source(
        (File("https://download.pytorch.org/models/vgg16-397923af.pth", "sha256:397923af", 0.55),),
        "of torchvision, which is under a BSD license and says that weights may be under the terms of the data they were "
        "trained on: here ImageNet, for non-commercial research and education (https://www.image-net.org/download.php)",
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
        "license of Microsoft Research in the archive (EULA.rtf): not for commercial purposes",
        "--data with the folder of Images and GroundTruth in {out}; lists are not in the archive",
    ),
    "coco2014": _coco("2014", val=6, train=13),
    "coco2017": _coco("2017", val=1, train=18),
}
