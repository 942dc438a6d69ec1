"""The names of systems and sections, as they stand in options, tables and JSON."""

OURS, PLAIN, SEEN = "crfrnn", "crfrnn, plain torch", "crfrnn, size seen before"
PYDENSECRF, SIMPLECRF = "pydensecrf2", "SimpleCRF"
SECTIONS = ("pairs", "pixels", "labels", "iterations", "batch", "memory", "training")
