"""All properties."""

from tests.fuzz import arguments, conversions, drop_in, files, lattices, layers, losses, weak_labels

PROPERTIES = [
    *arguments.PROPERTIES,
    *layers.PROPERTIES,
    *lattices.PROPERTIES,
    *losses.PROPERTIES,
    *drop_in.PROPERTIES,
    *conversions.PROPERTIES,
    *weak_labels.PROPERTIES,
    *files.PROPERTIES,
]
