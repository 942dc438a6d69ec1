"""Some cases of every property; `python -m tests.fuzz --minutes 60` checks as many as an hour has room for."""

import pytest

from tests.fuzz.properties import PROPERTIES
from tests.fuzz.property import RIGHT, Property


@pytest.mark.parametrize("chosen", PROPERTIES, ids=lambda each: each.name)
def test_property(chosen: Property) -> None:
    counts = chosen.run(examples=30)
    assert counts[RIGHT] > 0
