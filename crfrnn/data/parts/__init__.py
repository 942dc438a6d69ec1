"""Parts of objects: PASCAL-Part and AeroplaneOID."""

from crfrnn.data.parts.adjacency import adjacency, adjacency_penalties
from crfrnn.data.parts.annotation import AnnotatedObject, Annotation, Corners, Part, index_maps, part_map
from crfrnn.data.parts.crops import Region, cut, region_around
from crfrnn.data.parts.dataset import Parts, PartSegmentation, find_parts, open_parts
from crfrnn.data.parts.labels import PartLabels
from crfrnn.data.parts.oid import AeroplaneOID
from crfrnn.data.parts.pascal import PascalPart, read_annotation
from crfrnn.data.parts.vocabulary import PASCAL_PARTS

__all__ = [
    "PASCAL_PARTS",
    "AeroplaneOID",
    "AnnotatedObject",
    "Annotation",
    "Corners",
    "Part",
    "PartLabels",
    "PartSegmentation",
    "Parts",
    "PascalPart",
    "Region",
    "adjacency",
    "adjacency_penalties",
    "cut",
    "find_parts",
    "index_maps",
    "open_parts",
    "part_map",
    "read_annotation",
    "region_around",
]
