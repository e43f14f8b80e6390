"""A set that somebody else has chosen: LIMA's way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from selectit.errors import SettingsError
from selectit.methods._base import SetMethod
from selectit.runs import row_lists
from selectit.signals.arrays import Int64, Signals
from selectit.signals.rows import Rows


@dataclass(frozen=True, slots=True)
class Fixed(SetMethod):
    """The rows that a file names, in its order (a hand-chosen set such as LIMA).

    Source: Zhou et al., "LIMA: Less Is More for Alignment", arXiv 2305.11206: 1,000 pairs chosen by hand. That is no
    rule that could be applied to other data, so what can be repeated is to take a list that was made elsewhere.

    Needs: nothing but the file.

    Direction: none; the rows of the file are taken in its order, and of a longer list the first.

    Cost: 0 passes a row.

    Differs: no; where no budget is given the whole list is taken.

    Licence: no code of others; the LIMA data set has terms of its own.

    Checked: by hand.
    """

    file: str = ""
    """A JSON list of row numbers, a text with one on each line, the folder of a selection (RUN/selections/NAME), or a
    data set of the chosen records, which are looked for among the rows by their text; it is read as the data is
    (--map, --roles), and where it can't be so, as its own fields say."""

    needs: ClassVar[tuple[str, ...]] = ()
    names_rows: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.file:
            raise SettingsError("fixed has no list of rows", "Name it: --param file=ids.json")

    @property
    def keep(self) -> str:
        """The budget where none is given: the whole list."""
        return str(row_lists.count(self.file))

    def check_rows(self, rows: Rows) -> None:
        """Raise DataError where the list names what is no row, or one twice."""
        row_lists.find(self.file, rows)

    @property
    def label(self) -> str:
        return f"fixed-{Path(self.file).name.partition('.')[0]}-{row_lists.digest(self.file)}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """The first `budget` rows of the list. Raises DataError where it names what is no row, or one twice."""
        return row_lists.find(self.file, signals.rows)[:budget]


METHOD = Fixed
