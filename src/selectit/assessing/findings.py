"""What a reader should do about what was found: a sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selectit.assessing.sharing import Shared
from selectit.assessing.texts import Found
from selectit.filters.language import UNKNOWN
from selectit.selection.filter import NO_VALUE

if TYPE_CHECKING:
    from selectit.assessing.assess import Assessed

BROKEN = 0.005
"""The share of answers that seem to break off from which it is told: in whole data sets fewer are named wrongly."""


OTHER_LANGUAGES = 0.02
"""The share of rows outside the first language from which it is told: of shorter texts some are named wrongly."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What asks for action in one data set."""

    data: str
    text: str
    rows: tuple[int, ...] = ()
    """Some of the rows that it is about."""


def find_all(data: Sequence[Assessed], shared: Sequence[Shared]) -> tuple[Finding, ...]:
    """All findings, data set by data set."""
    found = [each for place, one in enumerate(data) for each in _find(one, place, data, shared)]
    return (*found, *_find_nearest(data))


def _find(one: Assessed, place: int, data: Sequence[Assessed], shared: Sequence[Shared]) -> Iterator[Finding]:
    texts = one.texts

    def finding(found: Found | None, verb: str, what: str) -> Iterator[Finding]:
        if found is not None and found.count:
            yield Finding(one.name, f"{count_rows(found.count, texts.rows, verb)} {what}", found.rows)

    yield from finding(texts.empty, "have", "an empty answer: take them out")
    copies = texts.near or texts.exact
    if copies.count > texts.exact.count:
        yield from finding(texts.near, "repeat", "an earlier one, or nearly: --dedup near")
    else:
        yield from finding(texts.exact, "repeat", "an earlier one: --dedup exact")
    if texts.repeated.count > copies.count:
        yield from finding(
            texts.repeated, "ask", "what an earlier one asks: --best-of instruction keeps one answer each"
        )
    for name, asked in texts.asked.items():
        yield from finding(asked, "share", f"a question with {name}: --decontaminate {name}")
    if texts.broken.count >= BROKEN * texts.rows:
        yield from finding(texts.broken, "have", "an answer that seems to end within a sentence: look at them")
    yield from finding(texts.mismatched, "answer", "in another language than asked: see whether it is translation")
    yield from _find_languages(one)
    yield from _find_losses(one)
    for each in shared:
        count = each.exact if each.near is None else each.near
        if each.of == place < each.other and count:
            how = "exactly" if each.near is None else f"exactly ({each.exact:,}) or nearly"
            what = f"{how} what {data[each.other].name} asks"
            remedy = "of both together, --best-of instruction keeps one answer to each question"
            remedy = remedy if each.exact else "see whether you want both"
            yield Finding(one.name, f"{count_rows(count, texts.answers, 'ask')} {what}: {remedy}")


def _find_nearest(data: Sequence[Assessed]) -> Iterator[Finding]:
    """Of data sets with a distance to the target the nearest, where the intervals of all others lie above its own."""
    distance = {each.name: each.diversity.target for each in data if each.diversity and each.diversity.target}
    if len(distance) > 1:
        (first, nearest), *others = sorted(distance.items(), key=lambda item: item[1].value)
        if all(nearest.high < each.low for _, each in others):
            yield Finding(first, "lies nearest to the target: begin with it")


def _find_languages(one: Assessed) -> Iterator[Finding]:
    known = {name: count for name, count in one.texts.languages.items() if name not in (UNKNOWN, NO_VALUE)}
    others = sum(known.values()) - max(known.values(), default=0)
    if others >= OTHER_LANGUAGES * one.texts.rows and others:
        first = next(iter(known))
        what = f"in other languages than {first}: --by language --shares says how much of each is kept"
        yield Finding(one.name, f"{count_rows(others, one.texts.rows, 'are')} {what}")


def _find_losses(one: Assessed) -> Iterator[Finding]:
    for each in one.models:
        if each.figure == "IFD" and each.ninetieth > 1:
            what = (
                f"a tenth or more have an IFD above 1: {each.model} finds these answers likelier without the question"
            )
            yield Finding(one.name, f"{what}; --method ifd leaves them out")


def count_rows(count: int, of: int, verb: str) -> str:
    """'412 rows (0.8 %) ask', '1 row (<0.1 %) asks'; of what they do the verb alone."""
    singular = {"are": "is", "have": "has"}.get(verb, f"{verb}s")
    return f"{count:,} {'row' if count == 1 else 'rows'} ({percent(count, of)}) {singular if count == 1 else verb}"


def percent(count: int, of: int) -> str:
    """'0.8 %', '<0.1 %'; '0 %' of nothing."""
    share = 100 * count / of if of else 0.0
    return "<0.1 %" if 0 < share < 0.05 else f"{share:.1f} %" if share else "0 %"
