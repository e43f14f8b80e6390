"""AlpaGasus with its own judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selectit.errors import SettingsError
from selectit.methods.alpagasus_local import AlpagasusLocal
from selectit.signals.arrays import Float64, Signals


@dataclass(frozen=True, slots=True)
class Alpagasus(AlpagasusLocal):
    """ChatGPT's score of each response from 0 to 5 (AlpaGasus).

    The judge must be OpenAI's gpt-3.5-turbo, through a server: --judge gpt-3.5-turbo with the server's address and key.
    Any other judge is refused; with one of your own the method is called `alpagasus-local`. Nobody can see from here
    what a server has behind a name.

    Source: Chen et al., "AlpaGasus: Training a Better Alpaca with Fewer Data", ICLR 2024, arXiv 2307.08701.

    Needs: the reply of gpt-3.5-turbo to a question about each pair (--judge).

    Direction: higher = better = keep; from 0 to 5. With neither --keep nor --min-score, 4.5 and more is kept.

    Cost: 1 generation a row of up to 256 tokens, paid to OpenAI; 52,002 rows were $52 (SelectIT's table 9).

    Differs: the paper's gpt-3.5-turbo-0301 is no longer served; later ones under the same name rate differently. The
    question is worded anew. A reply without a number is no score instead of -1.

    Licence: gpt4life/alpagasus (unofficial) has none; nothing was taken from it.

    Checked: the specification's replies for both parsers, and by hand; never against OpenAI's server.
    """

    parser: str = "ours"
    """As of `alpagasus-local`."""

    name: ClassVar[str] = "alpagasus"
    judge: ClassVar[str] = "gpt-3.5-turbo"

    def check_judge(self, judge: str) -> None:
        """Raise SettingsError where the judge is not the paper's."""
        if not judge.startswith(self.judge):
            raise SettingsError(
                f"AlpaGasus's judge is {self.judge}, and this one is {judge or 'not known'}",
                "With another judge the method is --method alpagasus-local.",
            )

    def score(self, signals: Signals) -> Float64:
        """(N,) the judge's scores; NaN where a reply is missing or has no number. Raises as `check_judge` does."""
        self.check_judge(signals.judgements.judge)
        return AlpagasusLocal.score(self, signals)


METHOD = Alpagasus
