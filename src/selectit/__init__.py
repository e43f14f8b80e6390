"""Choose the best part of an instruction-tuning data set with the tuned model's own uncertainty (SelectIT)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from selectit._version import __version__ as __version__

if TYPE_CHECKING:
    from selectit.assessing.assess import Assessment, assess
    from selectit.config.settings import Settings
    from selectit.costs.plan import Cost, plan
    from selectit.costs.tunings import TuningCost, plan_tuning
    from selectit.errors import SelectitError
    from selectit.evaluation.evaluate import evaluate
    from selectit.evaluation.settings import EvalSettings
    from selectit.expansion.expand import Expanded, expand
    from selectit.experiments.experiment import experiment
    from selectit.experiments.fit_rule import fit_rule
    from selectit.experiments.rule_report import Rule
    from selectit.exports.export import Exported, export
    from selectit.methods import list_methods
    from selectit.models.packaged import list_models
    from selectit.pages.assessment import report_assessment
    from selectit.pages.difference import report_difference
    from selectit.pages.plot import plot
    from selectit.pages.report import report
    from selectit.probing.probe import Probe, probe
    from selectit.probing.tune_prompts import tune_prompts
    from selectit.runs.verify import Verified, verify
    from selectit.selection.compare import compare
    from selectit.selection.describe import list_runs, show
    from selectit.selection.diff import diff
    from selectit.selection.rate import rate
    from selectit.selection.score import Scores, score
    from selectit.selection.select import Selected, select
    from selectit.training.recipes import Recipe
    from selectit.training.train import Trained, train

_HOMES = {
    "Assessment": "assessing.assess",
    "Cost": "costs.plan",
    "EvalSettings": "evaluation.settings",
    "Expanded": "expansion.expand",
    "Exported": "exports.export",
    "Probe": "probing.probe",
    "Recipe": "training.recipes",
    "Rule": "experiments.rule_report",
    "Scores": "selection.score",
    "Selected": "selection.select",
    "SelectitError": "errors",
    "Settings": "config.settings",
    "Trained": "training.train",
    "TuningCost": "costs.tunings",
    "Verified": "runs.verify",
    "assess": "assessing.assess",
    "compare": "selection.compare",
    "diff": "selection.diff",
    "evaluate": "evaluation.evaluate",
    "expand": "expansion.expand",
    "experiment": "experiments.experiment",
    "export": "exports.export",
    "fit_rule": "experiments.fit_rule",
    "list_methods": "methods",
    "list_models": "models.packaged",
    "list_runs": "selection.describe",
    "plan": "costs.plan",
    "plan_tuning": "costs.tunings",
    "plot": "pages.plot",
    "probe": "probing.probe",
    "rate": "selection.rate",
    "report": "pages.report",
    "report_assessment": "pages.assessment",
    "report_difference": "pages.difference",
    "score": "selection.score",
    "select": "selection.select",
    "show": "selection.describe",
    "train": "training.train",
    "tune_prompts": "probing.tune_prompts",
    "verify": "runs.verify",
}
"""Each public name, and the module of this package that has it."""

__all__ = [
    "Assessment",
    "Cost",
    "EvalSettings",
    "Expanded",
    "Exported",
    "Probe",
    "Recipe",
    "Rule",
    "Scores",
    "Selected",
    "SelectitError",
    "Settings",
    "Trained",
    "TuningCost",
    "Verified",
    "assess",
    "compare",
    "diff",
    "evaluate",
    "expand",
    "experiment",
    "export",
    "fit_rule",
    "list_methods",
    "list_models",
    "list_runs",
    "plan",
    "plan_tuning",
    "plot",
    "probe",
    "rate",
    "report",
    "report_assessment",
    "report_difference",
    "score",
    "select",
    "show",
    "train",
    "tune_prompts",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Names resolve when they are used, so that `import selectit` and `selectit --help` load nothing heavy."""
    if name == "scores":  # a module, whose functions have names of methods
        return importlib.import_module("selectit.scores")
    if name not in _HOMES:
        raise AttributeError(f"module 'selectit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"selectit.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names too, which are not loaded yet."""
    return sorted({*globals(), *__all__, "scores"})
