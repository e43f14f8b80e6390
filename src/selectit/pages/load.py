"""From a run to the analyses of one of its selections: what is stored, loaded. No model is asked."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from selectit import methods as method_files
from selectit.config.settings import Settings
from selectit.errors import MissingError
from selectit.methods._base import Method, ScoringMethod
from selectit.numerics.lexical import calculates
from selectit.numerics.projection import CentreDistance, Projection, draw_sample, lay_out, measure_centre, project
from selectit.numerics.vectors import row_vectors
from selectit.pages import analyses
from selectit.pages.analyses import Agreement, Calculations, Histogram, Lengths, Sweep
from selectit.runs.annotators import Annotator, annotators, named_annotator
from selectit.runs.files import numbers
from selectit.runs.prompt_sets import stored_prompts
from selectit.runs.run import Run, open_run
from selectit.runs.stored import (
    StoredSelection,
    find_embeddings,
    is_answered,
    load_arrays,
    names_of_scores,
    read_scores,
)
from selectit.signals.arrays import Float32, Float64, Ratings, Signals
from selectit.signals.requests import RatingPrompt

SWEPT: Mapping[str, Sequence[float]] = {"k": analyses.K_VALUES, "alpha": analyses.ALPHAS}
"""The parameters that a method may have whose other values are tried."""
COMPARED = 12
"""So many of a run's scores are compared; more can't be read in a matrix."""


def load_histogram(of: StoredSelection) -> Histogram:
    """The scores of all rows and of the chosen ones. Raises MissingError where there are no scores."""
    if not of.scores:
        raise MissingError(f"{of.name} was chosen as a set: there are no scores", "Name a selection by a score.")
    return analyses.build_histogram(of.score, of.rows)


def load_lengths(of: StoredSelection) -> Lengths:
    """The lengths of the responses in words."""
    return analyses.measure_lengths(of.run.basic_rows().response_words, of.rows)


def load_calculations(of: StoredSelection) -> Calculations:
    """How many rows ask for a calculation; of a conversation, whether any of its rated questions does."""
    found = np.zeros(of.run.rows, np.bool_)
    for start, stop in of.run.part_ranges():
        for sample in of.run.samples(start, stop):
            found[sample.row] |= calculates(sample.instruction)
    return analyses.measure_calculations(found, of.score if of.scores else None, of.rows)


def load_sweeps(of: StoredSelection) -> list[Sweep]:
    """What other values of K and alpha would choose. Raises MissingError where the method has neither."""
    method = _find_method(of)
    if method is None:
        raise MissingError(
            f"{of.name} is not by a method that scores rows by the ratings of all rows alone: there is no K or alpha",
            "Name a selection by selectit or expected-rating, without --cascade and --combine.",
        )
    signals = Signals(of.run.basic_rows(), {"ratings": _load_ratings(of.run, _raters(of), _prompts(of))})
    tried = (analyses.sweep(method, signals, name, values, len(of.rows)) for name, values in SWEPT.items())
    found = [each for each in tried if each is not None]
    if not found:
        raise MissingError(
            f"no other K or alpha makes another choice than {of.name}",
            f"Rate under more prompts: selectit rate --run {of.run.path} --k 5.",
        )
    return found


def _find_method(of: StoredSelection) -> ScoringMethod | None:
    """The method of the selection, where all that it reads is the ratings of all rows."""
    method = None if "cascade" in of.config else build_method(of.config)
    return method if isinstance(method, ScoringMethod) and method.needs == ("ratings",) else None


def build_method(config: Mapping[str, Any]) -> Method | None:
    """The method of stored settings; None where they name several, or one of the user's own.

    A file that a run names as its own method is not run: whoever made the run may have named any.
    """
    name = config.get("method")
    if name not in method_files.names():
        return None
    fields = {field.name for field in dataclasses.fields(method_files.lookup(name))}  # type: ignore[arg-type]
    return method_files.build(name, {key: value for key, value in config.items() if key in fields})


def _raters(of: StoredSelection) -> list[Annotator]:
    """The models whose ratings the selection was made by, in their order. Raises MissingError where they are gone."""
    return [named_annotator(of.run, folder, Settings()) for folder in of.config["models"]]


def _prompts(of: StoredSelection) -> tuple[RatingPrompt, ...]:
    """Those of the selection's prompt set, from the first on, under which its models have rated all rows."""
    raters = _raters(of)
    for path, prompts in stored_prompts(of.run).items():
        if path.stem == of.config["prompts"]:
            asked = prompts.first(len(prompts.texts))
            return tuple(itertools.takewhile(lambda prompt: _all_answered(of.run, raters, prompt), asked))
    raise MissingError(f"{of.run.path} has no longer the prompts of {of.name}", "Select again from it with --prompts.")


def _all_answered(run: Run, raters: Sequence[Annotator], prompt: RatingPrompt) -> bool:
    return all(is_answered(run, annotator, prompt) for annotator in raters)


def _load_ratings(run: Run, raters: Sequence[Annotator], prompts: Sequence[RatingPrompt]) -> Ratings:
    """The ratings under some prompts; models of one name are told apart by their folders."""
    ratings = load_arrays(run, raters, prompts)
    if len(set(ratings.models)) < len(ratings.models):
        return dataclasses.replace(ratings, models=tuple(annotator.path.name for annotator in raters))
    return ratings


def load_agreements(of: StoredSelection) -> dict[str, Agreement]:
    """How far prompts, models and methods agree, those of which there are two or more.

    Prompts and models by SelectIT's score of single ratings, methods by their stored scores, that of the selection
    first. Raises MissingError where there is nothing to compare.
    """
    scores = {"prompts": _prompt_scores(of), "models": _model_scores(of), "methods": _method_scores(of)}
    found = {what: analyses.measure_agreement(some, len(of.rows)) for what, some in scores.items() if len(some) > 1}
    if not found:
        raise MissingError(
            f"{of.run.path} has neither two prompts nor two models nor two scores to compare",
            f"Score by another method: selectit score --run {of.run.path} --method length.",
        )
    return found


def _prompt_scores(of: StoredSelection) -> dict[str, Float64]:
    if "models" not in of.config or "cascade" in of.config:
        return {}
    return analyses.score_prompts(_load_ratings(of.run, _raters(of), _prompts(of)), of.run.rows)


def _model_scores(of: StoredSelection) -> dict[str, Float64]:
    """Of all models that have rated all rows under the first prompt of a set, under as many as all have."""
    for prompts in stored_prompts(of.run).values():
        asked = prompts.first(len(prompts.texts))
        raters = [each for each in annotators(of.run) if is_answered(of.run, each, asked[0])]
        whole = [prompt for prompt in asked if _all_answered(of.run, raters, prompt)]
        if len(raters) > 1:
            return analyses.score_models(_load_ratings(of.run, raters, whole), of.run.rows)
    return {}


def _method_scores(of: StoredSelection) -> dict[str, Float64]:
    names = sorted(names_of_scores(of.run), key=lambda name: (name != of.scores, name))[:COMPARED]
    return {name: numbers(read_scores(of.run, name)["score"]) for name in names}


@dataclass(frozen=True, slots=True)
class Map:
    """Where the rows lie to each other."""

    encoder: str
    """Whose vectors they are, and of what text, in words."""
    projection: Projection
    centre: CentreDistance
    targets: Float32
    """(T, 2) the examples of the run's targets, along the same axes; of those that the encoder has read."""


def load_map(of: StoredSelection, *, umap: bool = False) -> Map:
    """The rows' vectors in two dimensions, and their distances to the centre. Raises MissingError: the run has none.

    By UMAP, which raises SettingsError where it can't, or along their principal axes.
    """
    encoder, embeddings = find_embeddings(of.run)
    vectors = row_vectors(embeddings, of.run.rows)
    every = np.concatenate([vectors, *_target_vectors(of.run, encoder)])
    both = lay_out(every) if umap else project(every, draw_sample(of.run.basic_rows()))
    points, targets = np.split(both.points, [len(vectors)])
    return Map(encoder, Projection(points, both.explained), measure_centre(vectors, of.rows), targets)


def _target_vectors(run: Run, encoder: str) -> Iterator[Float32]:
    """The vectors of the examples of each target by the encoder that read the rows."""
    for manifest in sorted(run.path.glob("targets/*/run/manifest.json")):
        inner = open_run(manifest.parent)
        try:
            own, embeddings = find_embeddings(inner)
        except MissingError:  # a target that a method reads without vectors
            continue
        if own == encoder:
            yield row_vectors(embeddings, inner.rows)
