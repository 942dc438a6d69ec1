"""Data sets in folders of one's own: any image files, masks named like them, and lists that may be drawn at random."""

from crfrnn.data.folders.dataset import FolderSegmentation
from crfrnn.data.folders.description import FolderSet, folder_set, read_folder_set, write_folder_set

__all__ = ["FolderSegmentation", "FolderSet", "folder_set", "read_folder_set", "write_folder_set"]
