"""What methods that choose by facility location have in common: the measure of likeness, and who covers a row."""

from __future__ import annotations

from selectit.errors import SettingsError, nearest
from selectit.numerics.vectors import SIMILARITIES


def check_coverage(similarity: str, neighbours: int) -> None:
    """Raise SettingsError where the parameters `similarity` and `neighbours` can't be."""
    if similarity not in SIMILARITIES:
        raise SettingsError(f"there is no similarity {similarity!r}", nearest(similarity, SIMILARITIES))
    if neighbours < 0:
        raise SettingsError(f"neighbours is {neighbours}", "It is a number of rows, or 0.")


def label_coverage(similarity: str, neighbours: int) -> str:
    """Both for a method's label: 'cosine01', 'rbf-nn64'."""
    return similarity + (f"-nn{neighbours}" if neighbours else "")
