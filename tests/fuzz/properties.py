"""All properties."""

from tests.fuzz import lattices, layers

PROPERTIES = [*layers.PROPERTIES, *lattices.PROPERTIES]
