"""Data sets in folders of one's own: any image files, masks named like them, and lists that may be drawn at random."""

from crfrnn.data.folders.dataset import FolderSegmentation, listed_photos, mask_of
from crfrnn.data.folders.description import (
    FolderSet,
    folder_set,
    given_names,
    read_folder_set,
    source_of,
    write_folder_set,
)

__all__ = [
    "FolderSegmentation",
    "FolderSet",
    "folder_set",
    "given_names",
    "listed_photos",
    "mask_of",
    "read_folder_set",
    "source_of",
    "write_folder_set",
]
