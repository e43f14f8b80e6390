"""Outcomes of an experiment that nobody ran, with names that hold marks."""

import numpy as np

from selectit.experiments.outcomes import BenchmarkScore, Outcome
from selectit.experiments.settings import Choice

ODD = "a <script>alert('x')</script> | *b* _c_ `d` [e](f) & $g$ \\ -- \"h\""


def outcome(choice, budget, seed, up=0.0, method=None, rows=10, model="m", seconds=7.0, quizzes=("quiz", "exam")):
    """Twenty items of each quiz, a held-out loss without items."""
    rng = np.random.default_rng([seed, rows, len(choice)])
    scores = {}
    for name in quizzes:
        values = (rng.random(20) < 0.4 + up).astype(float).tolist()
        scores[name] = BenchmarkScore("acc", float(np.mean(values)), 0.1, [str(n) for n in range(20)], values)
    scores["heldout"] = BenchmarkScore("nll per token", 2.5 - up + seed / 10, 0.1, [], [])
    return Outcome(
        line=(model, choice, budget), method=choice if method is None else method, seed=seed, rows=rows, steps=3,
        tokens=100, loss=1.5, train_seconds=9.0, passes=5.0, select_seconds=seconds, scores=scores, eval_seconds=4.0,
    )  # fmt: skip


AMOUNT = [
    outcome("base", "", 0, -0.2, method="", rows=0, seconds=0),
    outcome("full", "", 0, rows=100, seconds=0),
    *(outcome("random", f"{rows}%", seed, 0.0, rows=rows) for rows in (20, 5) for seed in (0, 1)),
    *(outcome(ODD, f"{rows}%", seed, 0.2, "length", rows=rows) for rows in (20, 5) for seed in (0, 1)),
    outcome("unknown", "5%", 0, 0.1, "ifd", rows=5, seconds=None),
]
CHOICES = [Choice(method="full"), Choice(method="random"), Choice(method="length", name=ODD)]
