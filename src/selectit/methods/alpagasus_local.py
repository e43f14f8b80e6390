"""A judge's score from 0 to 5, by any judge."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.errors import SettingsError, nearest
from selectit.methods._base import ScoringMethod
from selectit.numerics.row_random import row_uniforms
from selectit.numerics.segments import mean_by_row
from selectit.signals.arrays import Float64, Signals
from selectit.signals.requests import JudgeRequest

DIMENSIONS = {"accuracy": "accurate", "helpfulness": "helpful"}
PARSERS = ("ours", "strict")
_NUMBER = re.compile(r"(?<![\d.-])(\d+(?:\.\d+)?)(?:\s*/\s*(\d+(?:\.\d+)?))?")


@dataclass(frozen=True, slots=True)
class AlpagasusLocal(ScoringMethod):
    """A judge's score from 0 to 5 on one dimension, with any judge (AlpaGasus's protocol).

    With neither --keep nor --min-score, the rows with at least the threshold are kept, as in the paper. With --keep,
    rows with equal scores are in the order of a seeded draw, for the scale has about eleven values.

    Source: Chen et al., "AlpaGasus: Training a Better Alpaca with Fewer Data", ICLR 2024, arXiv 2307.08701.

    Needs: a judge's reply to a question about each pair (--judge).

    Direction: higher = better = keep; from 0 to 5.

    Cost: 1 generation a row, of up to 256 tokens; the explanation after the number is paid for and not read.

    Differs: the judge is not the paper's, so its threshold and published figures say nothing here: look at the scores
    before trusting 4.5. The question is worded anew. Published code takes a reply that it can't read as -1, which its
    threshold drops; here such a row has no score. Of the two parsers of the published code, `strict` is the one that
    wrote its scores.

    Licence: gpt4life/alpagasus (unofficial) has none; nothing was taken from it.

    Checked: the specification's replies for both parsers, and by hand.
    """

    dimension: str = "accuracy"
    """`accuracy` or `helpfulness`."""
    threshold: float = 4.5
    """What is kept where neither an amount nor a minimum score is given."""
    parser: str = "ours"
    """`ours`: the first number from 0 to 5 on the first line that is not empty, 4/5 too. `strict`: the first line is
    a number and nothing else."""
    seed: int = 0
    """Of the order of equal scores."""

    name: ClassVar[str] = "alpagasus-local"

    def __post_init__(self) -> None:
        if self.dimension not in DIMENSIONS:
            raise SettingsError(f"there is no dimension {self.dimension!r}", nearest(self.dimension, DIMENSIONS))
        if self.parser not in PARSERS:
            raise SettingsError(f"there is no parser {self.parser!r}", nearest(self.parser, PARSERS))

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
        return f"{self.name}-{self.dimension}{strict}-t{self.threshold:g}-seed{self.seed}"

    def score(self, signals: Signals) -> Float64:
        """(N,) the judge's scores, of several responses their mean; NaN where a reply is missing or has no number."""
        return judged(signals, self.parser)

    def tie_break(self, signals: Signals) -> Float64:
        """(N,) draws: of two rows with equal scores that with the larger comes first."""
        return row_uniforms(signals.rows, f"selectit alpagasus {self.seed}")


METHOD = AlpagasusLocal


def question(dimension: str) -> JudgeRequest:
    """What the judge is asked. The wording is this project's."""
    return JudgeRequest(
        system="You judge how well an assistant's responses answer the instructions that it was given.",
        text=f"""### Instruction
{{instruction}}

### Response
{{response}}

### Task
How {DIMENSIONS[dimension]} is this response to its instruction? Write one number from 0 (worst) to 5 (best), halves \
allowed, alone on the first line. Explain it on the lines after that.""",
    )


def judged(signals: Signals, parser: str) -> Float64:
    """(N,) mean score of each row's items; NaN where one has none."""
    read = parse if parser == "ours" else _strict_or_nan
    judgements = signals.judgements
    scores = np.array([read(reply or "") for reply in judgements.replies], dtype=np.float64)
    return mean_by_row(scores, judgements.row, len(signals.rows))


def parse(reply: str) -> float:
    """The first number in [0, 5], alone or out of 5, on the first line that is not empty; else NaN."""
    first = next((line for line in reply.splitlines() if line.strip()), "")
    for number, scale in _NUMBER.findall(first):
        if float(number) <= 5 and (not scale or float(scale) == 5):
            return float(number)
    return math.nan


def parse_strict(reply: str) -> float:
    """The first line as a number; -1 where it is none, as the published code has it."""
    try:
        number = float(reply.split("\n")[0])
    except ValueError:
        return -1.0
    return number if math.isfinite(number) else -1.0


def _strict_or_nan(reply: str) -> float:
    number = parse_strict(reply)
    return math.nan if number == -1 else number
