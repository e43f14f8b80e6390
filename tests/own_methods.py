"""Methods of a user's own, as the text of a Python file."""

HALF = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Half:
    """Scores so many rows from the start and no other."""

    rows: int = 0
    sign: float = 1.0
    needs: ClassVar[tuple[str, ...]] = ()
    label: ClassVar[str] = "half"

    def score(self, signals):
        place = np.arange(len(signals.rows))
        return np.where(place < self.rows, self.sign * place, np.nan)
'''
