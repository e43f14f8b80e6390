"""AlpaGasus with its own judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selectit.array_types import Float64
from selectit.errors import SettingsError
from selectit.methods.alpagasus_local import AlpagasusLocal, judged, question
from selectit.numerics.row_random import row_uniforms
from selectit.signals.arrays import Signals
from selectit.signals.requests import JudgeRequest


@dataclass(frozen=True, slots=True)
class Alpagasus:
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

    dimension: str = "accuracy"
    """`accuracy` or `helpfulness`."""
    threshold: float = 4.5
    """What is kept where neither an amount nor a minimum score is given."""
    parser: str = "ours"
    """As of `alpagasus-local`."""
    seed: int = 0
    """Of the order of equal scores."""

    judge: ClassVar[str] = "gpt-3.5-turbo"
    keep: ClassVar[None] = None

    def __post_init__(self) -> None:
        AlpagasusLocal(self.dimension, self.threshold, self.parser, self.seed)  # refuses what that refuses

    @property
    def needs(self) -> tuple[JudgeRequest]:
        return (question(self.dimension),)

    @property
    def min_score(self) -> float:
        """The least score where neither an amount nor a minimum score is given."""
        return self.threshold

    @property
    def label(self) -> str:
        strict = "-strict" if self.parser == "strict" else ""
        return f"alpagasus-{self.dimension}{strict}-t{self.threshold:g}-seed{self.seed}"

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
        return judged(signals, self.parser)

    def tie_break(self, signals: Signals) -> Float64:
        """(N,) draws: of two rows with equal scores that with the larger comes first."""
        return row_uniforms(signals.rows, f"selectit alpagasus {self.seed}")


METHOD = Alpagasus
