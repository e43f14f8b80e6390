"""What the mathematics is checked against."""

import json

import pytest

from places import GOLDEN


@pytest.fixture
def rivals():
    """A function of a name: what the published code of rival methods gave (tests/golden/rivals)."""
    return lambda name: json.loads((GOLDEN / "rivals" / f"{name}.json").read_text())
