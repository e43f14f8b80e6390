"""Choose the best part of an instruction-tuning data set with the tuned model's own uncertainty (SelectIT)."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

__version__ = "0.1.0"
__all__ = [
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
    "compare",
    "evaluate",
    "expand",
    "experiment",
    "export",
    "fit_rule",
    "methods",
    "models",
    "plan",
    "probe",
    "rate",
    "score",
    "select",
    "show",
    "train",
    "tune_prompts",
]
_ROOMS = {
    "Settings": "config",
    "SelectitError": "errors",
    "Cost": "estimate",
    "Scores": "scoring",
    "EvalSettings": "evaluation.options",
    "evaluate": "evaluation.job",
    "experiment": "experiments.job",
    "Rule": "experiments.rule",
    "fit_rule": "experiments.rule",
    "Probe": "probing",
    "probe": "probing",
    "tune_prompts": "tuneprompts",
    "Expanded": "expanding",
    "expand": "expanding",
    "Exported": "exports",
    "export": "exports",
    "Recipe": "recipes",
    "Trained": "training",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    """Names resolve when they are used, so that `import selectit` and `selectit --help` load nothing heavy."""
    if name in ("methods", "models"):
        return importlib.import_module(f"selectit.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'selectit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"selectit.{_ROOMS.get(name, 'api')}"), name)


class Verb(ModuleType):
    """A room that is a stage too: `selectit.methods()` and `selectit.models()` list what is in those rooms."""

    def __call__(self) -> Any:
        return getattr(importlib.import_module("selectit.selection.select"), self.__name__.rpartition(".")[2])()
