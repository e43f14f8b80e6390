"""From settings to what is left out before choosing, and what groups give: checked before anything is read or rated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from selectit.config.settings import Settings
from selectit.errors import SettingsError, read_user_text
from selectit.filters.duplicates import import_rensa
from selectit.filters.language import import_langid
from selectit.filters.overlap import QuestionSet
from selectit.jsonable import digest_of, parse_json, parse_toml
from selectit.numerics.clusters import import_sklearn
from selectit.selection.questions import read_named
from selectit.signals.requests import EmbeddingRequest

THRESHOLDS = {"near": 0.7, "semantic": 0.95}
CLUSTERS = 100


@dataclass(frozen=True, slots=True)
class FilterPlan:
    """What the settings say of filters and quotas, checked. Without any, every row may be chosen."""

    asked: tuple[QuestionSet, ...] = ()
    """Questions that no chosen row may share."""
    dedup: str | None = None
    threshold: float | None = None
    by: str | None = None
    """What groups the rows: a field, 'language' or 'cluster'."""
    shares: str | Mapping[str, Fraction] = "proportional"
    clusters: int = CLUSTERS

    @property
    def requests(self) -> tuple[EmbeddingRequest, ...]:
        """What is asked of models for it."""
        return (EmbeddingRequest(),) if self.dedup == "semantic" or self.by == "cluster" else ()

    @property
    def config(self) -> dict[str, Any]:
        """As it is stored with a selection; empty where there is none."""
        found: dict[str, Any] = {}
        if self.asked:
            found["decontaminate"] = {each.name: digest_of({"": list(each.questions)})[:16] for each in self.asked}
        if self.dedup:
            found["dedup"] = self.dedup
        if self.threshold is not None:
            found["dedup_threshold"] = self.threshold
        if self.by:
            named = isinstance(self.shares, Mapping)
            found["by"] = self.by
            found["shares"] = {name: str(each) for name, each in self.shares.items()} if named else self.shares  # type: ignore[union-attr]
        if self.by == "cluster":
            found["clusters"] = self.clusters
        return found

    @property
    def label(self) -> str:
        """For file names: '-clean3fa1b2-near0.7-by-source-equal'; '' without any."""
        parts = [f"clean{digest_of(self.config['decontaminate'])[:6]}"] if self.asked else []
        if self.dedup:
            parts.append(self.dedup + ("" if self.threshold is None else f"{self.threshold:g}"))
        if self.by:
            shares = self.shares if isinstance(self.shares, str) else f"shares{digest_of(self.config['shares'])[:6]}"
            clusters = str(self.clusters) if self.by == "cluster" else ""
            parts.append(f"by-{re.sub(r'[^A-Za-z0-9_.]+', '_', self.by)[:24]}{clusters}-{shares}")
        return "".join(f"-{part}" for part in parts)


def resolve_filters(settings: Settings, roles: tuple[str, ...] = ()) -> FilterPlan:
    """What the settings say of filters and quotas; `roles` are those of files with questions.

    Raises SettingsError and DataError where a file is wrong.
    """
    _check_installed(settings)
    default = THRESHOLDS.get(settings.dedup or "")
    shares: str | Mapping[str, Fraction] = settings.shares or "proportional"
    if isinstance(shares, str) and shares not in ("proportional", "equal"):
        shares = _read_shares(shares)
    return FilterPlan(
        asked=tuple(read_named(name, settings.data_dir, roles) for name in settings.decontaminate),
        dedup=settings.dedup,
        threshold=default if settings.dedup_threshold is None else settings.dedup_threshold,
        by=settings.by,
        shares=shares,
        clusters=settings.clusters or CLUSTERS,
    )


def _check_installed(settings: Settings) -> None:
    """Raise SettingsError where what filters and groups need is not installed: said before hours of rating."""
    if settings.dedup == "near":
        import_rensa()
    if settings.by == "language":
        import_langid()
    if settings.by == "cluster":
        import_sklearn()


def _read_shares(path: str) -> dict[str, Fraction]:
    """The shares of a file by the group's name. Raises SettingsError."""
    hint = 'Write NAME: share for each group, as JSON or TOML, for example {"code": 0.3, "chat": 0.7}.'
    if not Path(path).exists():
        raise SettingsError(f"--shares is {path}, neither proportional, equal nor a file", hint)
    text = read_user_text(Path(path), "shares file", hint)
    try:
        found = parse_toml(text) if path.endswith(".toml") else parse_json(text)
    except ValueError as error:
        raise SettingsError(f"--shares: {path} can't be read: {error}", hint) from error
    if not isinstance(found, dict) or not found:
        raise SettingsError(f"--shares: {path} names no groups", hint)
    for name, share in found.items():
        if type(share) not in (int, float) or not 0 <= share < float("inf"):
            raise SettingsError(f"--shares: {path}, {name!r}: {share!r} is not a number of 0 or more", hint)
    if not any(found.values()):
        raise SettingsError(f"--shares: every share of {path} is 0", hint)
    return {name: Fraction(str(share)) for name, share in found.items()}
