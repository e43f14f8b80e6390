"""What of a probe's settings is not the default, in a few words: so that no two results bear the same name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from selectit import methods as method_files
from selectit.engines import loading
from selectit.errors import SettingsError
from selectit.methods._base import Method
from selectit.runs.annotators import Annotator
from selectit.selection.score import Scored
from selectit.signals.prompts import PACKAGED, PromptSet, packaged
from selectit.signals.ratings import LAYOUTS


def describe_differences(scored: Scored, method: Method, prompts: PromptSet | None) -> str:
    """The prompt set's, the annotators' and the method's own differences from the defaults; '' = none."""
    words = list(_prompt_differences(prompts)) if prompts is not None else []
    for annotator, _ in scored.answered:
        words += _annotator_differences(annotator)
    if "tokenizer" in scored.config:
        words.append(f"tokenizer {scored.config['tokenizer']}")
    return ", ".join(dict.fromkeys([*words, *_method_differences(method)]))


def _prompt_differences(prompts: PromptSet) -> Iterator[str]:
    """How a prompt set differs from the packaged one of its name; one that is not packaged has its fingerprint."""
    base = packaged(prompts.name) if prompts.name in PACKAGED else PromptSet("", ())
    if prompts.texts != base.texts:
        yield f"prompt set {prompts.fingerprint[:6]}"
    if prompts.chat != base.chat:
        yield "chat"
    if prompts.labels != base.labels:
        yield f"labels {' '.join(prompts.labels)}"
    if prompts.template != base.template:
        yield "layout " + next((name for name, text in LAYOUTS.items() if text == prompts.template), "of its own")


def _annotator_differences(annotator: Annotator) -> Iterator[str]:
    """What was asked of a model beside its defaults."""
    engine = str(annotator.manifest["settings"]["engine"])
    if engine in loading.names() and engine != loading.DEFAULT:
        yield f"engine {engine}"
    for name, value in annotator.manifest["asked"].items():
        if value is not None and name not in ("engine", "unit_size"):  # the one is said, the other decides nothing
            yield f"{name.replace('_', ' ')} {value}"


def _method_differences(method: Method) -> Iterator[str]:
    """The parameters that are not the default and that the method's label leaves out."""
    parameters = method_files.parameters(method)
    for field in dataclasses.fields(method):  # type: ignore[arg-type]
        if not field.init:
            continue
        value = parameters[field.name]
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if value != default and not _is_in_label(method, field.name, value, default):
            yield f"{field.name}={value}"[:60]


def _is_in_label(method: Method, name: str, value: Any, default: Any) -> bool:
    """Whether the label says what the parameter is: with its default the label is another one."""
    if default is dataclasses.MISSING:
        return str(value) in method.label
    try:
        return method_files.with_parameters(method, {name: default}).label != method.label
    except SettingsError:  # the default does not go with the other parameters
        return False
