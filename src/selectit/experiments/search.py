"""How much to keep, found by trying: an optimiser proposes sizes, and each is a cell of the experiment like any other.

Instruction Mining (Cao et al., arXiv 2307.06290, section 4) searches the size with BlendSearch; here it is the
tree-structured Parzen estimator of Optuna. Its proposals follow from the seed and the values reported, so an
interrupted search that is begun again proposes the same sizes, and finds their cells finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from selectit.errors import SettingsError, import_extra
from selectit.experiments.outcomes import Outcome
from selectit.experiments.report.tables import columns
from selectit.experiments.settings import Cell, Experiment, Search, build_trial, list_searches

START = 4
"""Sizes that are drawn before the estimator has a say."""


@dataclass(frozen=True, slots=True)
class BestSize:
    """The best size of one choice."""

    line: tuple[str, str, str]
    metric: str
    value: float
    """As the tables show it."""
    trials: int

    @property
    def text(self) -> str:
        """A line for the report."""
        model, choice, budget = self.line
        by = f"{self.metric} ({self.value:.4g})"
        return f"Search: of {self.trials} sizes {choice} on {model} is best with {budget} by {by}."


def check_search(experiment: Experiment) -> None:
    """Raise SettingsError where a size is searched and Optuna is not installed, before anything is done."""
    if list_searches(experiment):
        _import_optuna()


def _import_optuna() -> Any:
    return import_extra("optuna", "search", "the search for a size")


def search(
    experiment: Experiment, run: Callable[[Cell], Outcome], known: Sequence[Outcome]
) -> tuple[list[Outcome], list[BestSize]]:
    """All trials of all choices that search, and the best of each.

    Args:
        experiment: with `search` where a choice has the budget 'search'.
        run: has a cell made, or read where it is finished.
        known: other cells, which have been made before: the metric must be one of theirs.

    Raises:
        SettingsError: Optuna is not installed, or the metric is none that the evaluation gives.
    """
    wanted = list_searches(experiment)
    if not wanted:
        return [], []
    optuna = _import_optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    about = experiment.search
    for outcome in known[:1]:
        _find_metric(outcome, about)
    outcomes: dict[str, Outcome] = {}
    best: list[BestSize] = []
    for model, choice in wanted:
        sampler = optuna.samplers.TPESampler(seed=about.seed, n_startup_trials=START)
        study = optuna.create_study(sampler=sampler)
        tried: list[tuple[float, Outcome]] = []
        for _ in range(about.trials):
            asked = study.ask()
            percent = asked.suggest_int("percent", about.low, about.high)
            cell = build_trial(experiment, model, choice, percent)
            outcome = outcomes[cell.name] = run(cell)
            score = outcome.scores[_find_metric(outcome, about)]
            value = score.mean if score.lower else -score.mean
            study.tell(asked, value)
            tried.append((value, outcome))
        _, outcome = min(tried, key=lambda each: each[0])
        metric = _find_metric(outcome, about)
        shown = next(column.of(outcome) for column in columns([outcome]) if column.name == metric)
        assert shown is not None  # it was evaluated
        best.append(BestSize(outcome.line, metric, shown, len({each.line for _, each in tried})))
    return list(outcomes.values()), best


def _find_metric(outcome: Outcome, about: Search) -> str:
    name = about.metric or next(iter(outcome.scores))
    if name not in outcome.scores:
        raise SettingsError(
            f"search: there is no score {name!r}", f"The evaluation gives: {', '.join(outcome.scores)}."
        )
    return name
