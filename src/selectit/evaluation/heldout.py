"""The losses of the responses of a data set that the model was not tuned on: lower is better."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import cast

from selectit.config.settings import Settings
from selectit.data import layouts, read, samples, sources
from selectit.data.records import Sample
from selectit.engines.loading import load_engine
from selectit.errors import EngineError
from selectit.evaluation.harness import draw
from selectit.evaluation.results import Part, fingerprint, standard_error
from selectit.evaluation.settings import EvalSettings
from selectit.models.files import Model
from selectit.signals.loss_templates import TEMPLATES
from selectit.signals.losses import ResponseLosses, ScoresText

_SEED = 42


@dataclass(frozen=True)
class HeldOut:
    """One model and the engine that reads losses, which is loaded when it is first asked."""

    model: Model
    settings: EvalSettings

    @cached_property
    def engine(self) -> ScoresText:
        """The engine `hf`: the one that collects losses for the methods. Raises ModelError."""
        own = Settings(engine="hf", dtype=self.settings.dtype, trust_remote_code=self.settings.trust_remote_code)
        return cast(ScoresText, load_engine(self.model, own, {}, "losses"))

    def task_fingerprint(self, path: str) -> str:
        """The fingerprint of a data set's part."""
        own = self.settings
        with sources.open_source(path) as source:
            data = sources.fingerprint(source)
        what = [own.dtype, own.chat, own.template, own.format, own.map, own.limit]
        name = self._template_name()
        if TEMPLATES[name].with_input:
            what.append(TEMPLATES[name].with_input)
        if own.roles:
            what.append(own.roles)
        return fingerprint(self.model.digest, "heldout", data, what)

    def run(self, path: str) -> Part:
        """The mean loss per response token, and per row.

        Raises:
            DataError: the data can't be read.
            EngineError: no response has a loss.
        """
        began = time.monotonic()
        rows, samples = _samples(path, self.settings)
        text = replace(TEMPLATES[self._template_name()], both=False)
        found = self.engine.losses(text, samples, lambda done, tokens: None)
        kept = [(row, each) for row, each in zip(rows, found, strict=True) if not isinstance(each, str)]
        if not kept:
            raise EngineError(f"no response of {path} has a loss: {found[0]}", "Look at the data, or at --template.")
        figures, means = measure_losses([losses for _, losses in kept])
        about = {"rows": len(samples), "failed": len(samples) - len(kept), "template": self._template_name()}
        about |= {"cut": sum(losses.truncated for _, losses in kept), **self.engine.settings}
        return Part(
            name=heldout_name(path),
            benchmark=heldout_name(path),
            fingerprint=self.task_fingerprint(path),
            metric="nll per token",
            value=figures["nll_per_token"],
            stderr=figures["nll_per_token_stderr"],
            items=tuple(row for row, _ in kept),
            values=tuple(means),
            metrics=figures,
            about={**about, "data": path, "seeds": {"items": _SEED}},
            seconds=round(time.monotonic() - began, 3),
        )

    def close(self) -> None:
        """Free the model's memory."""
        if "engine" in self.__dict__:
            self.__dict__.pop("engine").close()

    def _template_name(self) -> str:
        return "chat" if self.settings.chat else self.settings.template


def heldout_name(path: str) -> str:
    """The name of a data set's line in the table."""
    return f"heldout {Path(path).name}"


def measure_losses(responses: Sequence[ResponseLosses]) -> tuple[dict[str, float], list[float]]:
    """The figures of responses, by name, and the mean loss of each, in nats a token.

    The loss per token is the sum over all tokens / their number; its standard error takes rows as the units that were
    drawn (the linearised error of a ratio of means), since tokens of one row are alike.
    """
    sums = [float(losses.given[0].sum(dtype="float64")) for losses in responses]
    counts = [losses.given.shape[1] for losses in responses]
    means = [total / count for total, count in zip(sums, counts, strict=True)]
    value, size = sum(sums) / sum(counts), sum(counts) / len(counts)
    residuals = [(total - value * count) / size for total, count in zip(sums, counts, strict=True)]
    figures = {
        "nll_per_token": value,
        "nll_per_token_stderr": standard_error(residuals),
        "nll_per_row": sum(means) / len(means),
        "nll_per_row_stderr": standard_error(means),
        "perplexity": math.exp(value),
        "tokens": float(sum(counts)),
    }
    return figures, means


def read_last_answers(path: str, settings: EvalSettings) -> list[Sample]:
    """The last answer of each row with what stands before it. Raises DataError."""
    layout = layouts.parse_layout(settings.format, settings.map)
    spec = read.ReadSpec(layout, roles=layouts.parse_roles(settings.roles))
    with sources.open_source(path) as source:
        return [
            samples.build_samples(record.row, record.turns, "last", record.inputs)[0]
            for record in read.read_records(source, read.ReadReport(), spec)
        ]


def _samples(path: str, settings: EvalSettings) -> tuple[list[int], list[Sample]]:
    """The rows that are read, drawn with a seed where there is a limit, and their last answers. Raises DataError."""
    samples = read_last_answers(path, settings)
    chosen = draw(len(samples), settings.limit, _SEED)
    return list(chosen), [samples[at] for at in chosen]
