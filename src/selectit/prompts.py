"""Rating prompts: K wordings, one template, R labels. K and R are different numbers."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from selectit.errors import SettingsError
from selectit.schema import Instead, Sample

TEMPLATE = "{prompt}\n\nInstruction:{instruction}\nResponse:{response}\nThe answer is: \n"
"""Blue-Raincoat/SelectIT@4813250:self_reflection/sentence_level.py's text: no space after the colons, a space
and a newline at the end, so that the label opens a line."""

SAMPLE_FIRST = "Instruction:{instruction}\nResponse:{response}\n\n{prompt}\nThe answer is: \n"
"""The same parts with the sample before the question, so that K questions share one reading of the sample."""

LAYOUTS = {"prompt-first": TEMPLATE, "sample-first": SAMPLE_FIRST}

LABELS = ("1", "2", "3", "4", "5")

_FIELD = re.compile(r"\{(prompt|instruction|response)\}")


@dataclass(frozen=True, slots=True)
class RatingPrompt:
    """One wording with its template and labels: everything that decides the rated text of a sample."""

    text: str
    template: str = TEMPLATE
    labels: tuple[str, ...] = LABELS
    chat: bool = False
    """Whether the engine puts the text through the model's chat template, as a user's message."""

    def render(self, instruction: str, response: str) -> str:
        """The text whose next token is the rating. Braces inside the arguments are plain text."""
        fields = {"prompt": self.text, "instruction": instruction, "response": response}
        return _FIELD.sub(lambda match: fields[match[1]], self.template)

    def instead(self, other: Instead) -> RatingPrompt:
        """The prompt with other text in its template where the sample's would stand."""
        texts = {"instruction": other.instruction, "response": other.response}
        given = {name: text for name, text in texts.items() if text is not None}
        return replace(self, template=_FIELD.sub(lambda match: given.get(match[1], match[0]), self.template))

    def seen(self, sample: Sample) -> tuple[str, str]:
        """What of a sample the text depends on."""
        return (
            sample.instruction if "{instruction}" in self.template else "",
            sample.response if "{response}" in self.template else "",
        )

    @property
    def sees_sample(self) -> bool:
        """Whether the text depends on the sample at all."""
        return "{instruction}" in self.template or "{response}" in self.template

    @property
    def sample_first(self) -> bool:
        """Whether the sample stands before the wording, so that its tokens can be read once for many prompts."""
        return "{response}" in self.template and self.template.index("{prompt}") > self.template.index("{response}")

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits that change with the wording, the template, the labels or the chat template's use."""
        return _fingerprint([self.text, self.template, *self.labels, *(["chat"] if self.chat else [])])


@dataclass(frozen=True, slots=True)
class PromptSet:
    """K or more prompts in order; a rating with k prompts uses the first k."""

    name: str
    texts: tuple[str, ...]
    template: str = TEMPLATE
    labels: tuple[str, ...] = LABELS
    chat: bool = False

    def first(self, k: int) -> tuple[RatingPrompt, ...]:
        """The first `k` prompts. Raises SettingsError where the set is smaller."""
        if not 1 <= k <= len(self.texts):
            raise SettingsError(
                f"k is {k}, but the prompt set {self.name!r} has {len(self.texts)} prompts",
                f"Choose --k from 1 to {len(self.texts)}, or give more prompts with --prompts FILE.",
            )
        return tuple(RatingPrompt(text, self.template, self.labels, self.chat) for text in self.texts[:k])

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits that change with anything in the set but its name."""
        return _fingerprint([self.template, *self.labels, "chat" if self.chat else "", *self.texts])


@dataclass(frozen=True, slots=True)
class FittedText:
    """A rated text's token ids, and whether the response had to be cut."""

    ids: list[int]
    truncated: bool


class TooLong(Exception):
    """Even with an empty response the text is longer than the limit; or it is too long and may not be cut."""


def fit(
    prompt: RatingPrompt, sample: Sample, encode: Callable[[str], list[int]], limit: int, *, cut: bool, ids: list[int]
) -> FittedText:
    """Cut the response from the right, as text, until the whole text has at most `limit` tokens.

    The whole text is tokenised again after each cut, so the answer line stays whole and no token is one that
    the tokenizer would not have made. `ids` are the ids of the uncut text. Raises TooLong.
    """
    if len(ids) <= limit:
        return FittedText(ids, False)
    if not cut:
        raise TooLong(f"the text has {len(ids)} tokens, the limit is {limit}, and --overflow is 'refuse'")

    def ids_of(characters: int) -> list[int]:
        return encode(prompt.render(sample.instruction, sample.response[:characters]))

    best = ids_of(0)
    if len(best) > limit:
        raise TooLong(f"the instruction is too long: {len(best)} tokens with an empty response, the limit is {limit}")
    # Gallop up, then halve: the work depends on the limit, not on the length of the response.
    low, step = 0, max(16, 2 * limit)
    high = len(sample.response)
    while low + step < high:
        candidate = ids_of(low + step)
        if len(candidate) > limit:
            high = low + step
            break
        low, best, step = low + step, candidate, step * 2
    while high - low > 1:
        middle = (low + high) // 2
        candidate = ids_of(middle)
        if len(candidate) <= limit:
            low, best = middle, candidate
        else:
            high = middle
    return FittedText(best, True)


PACKAGED = ("default", "aspects", "yes-no")
"""The sets that come with the package: nine wordings of one question; three aspects of quality; yes or no."""


def packaged(name: str = "default") -> PromptSet:
    """A set that comes with the package."""
    text = (resources.files("selectit") / "prompts" / f"{name}.toml").read_text(encoding="utf-8")
    return _from_toml(text, f"{name}.toml")


def load(path: str | Path | None) -> PromptSet:
    """Read a prompt set: one of PACKAGED by its name, or a file; None is 'default'.

    The file is text with one prompt a line, or TOML with `prompts` and, if wanted, `name`, `template` and `labels`.
    Raises SettingsError.
    """
    if path is None:
        return packaged()
    if str(path) in PACKAGED:
        return packaged(str(path))
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"can't read the prompt file {path}: {error}",
            f"Give a UTF-8 text file with one prompt a line, or one of {', '.join(PACKAGED)}.",
        ) from error
    if path.suffix == ".toml":
        return _from_toml(text, str(path))
    return _checked(PromptSet(path.stem, tuple(line.strip() for line in text.splitlines() if line.strip())), str(path))


def changed(prompts: PromptSet, labels: tuple[str, ...] | None, chat: bool, layout: str | None) -> PromptSet:
    """The set with other labels, through the chat template, or in another layout. Raises SettingsError."""
    labels = prompts.labels if labels is None else labels
    template = prompts.template if layout is None else LAYOUTS[layout]
    if layout is not None and prompts.template not in LAYOUTS.values():
        raise SettingsError(
            f"--layout would replace the template of the prompt set {prompts.name!r}",
            "Change the template in its file.",
        )
    return _checked(replace(prompts, labels=labels, chat=chat or prompts.chat, template=template), "--labels")


def to_toml_table(prompts: PromptSet) -> dict[str, str | bool | list[str]]:
    """The set as the table that `load` reads from TOML."""
    return {
        "name": prompts.name,
        "template": prompts.template,
        "labels": list(prompts.labels),
        "chat": prompts.chat,
        "prompts": list(prompts.texts),
    }


def _from_toml(text: str, place: str) -> PromptSet:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{place} is not TOML: {error}", "See docs/prompts.md for an example.") from error
    unknown = set(table) - {"name", "template", "labels", "prompts", "chat"}
    if unknown:
        raise SettingsError(
            f"{place}: unknown key {sorted(unknown)[0]!r}",
            "A prompt file has name, template, labels, chat and prompts.",
        )
    for key in ("labels", "prompts"):
        values = table.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise SettingsError(f"{place}: {key!r} must be a list of strings", f'Write {key} = ["…", "…"].')
    return _checked(
        PromptSet(
            name=str(table.get("name", Path(place).stem)),
            texts=tuple(table.get("prompts", [])),
            template=str(table.get("template", TEMPLATE)),
            labels=tuple(table.get("labels", LABELS)),
            chat=bool(table.get("chat", False)),
        ),
        place,
    )


def _checked(prompts: PromptSet, place: str) -> PromptSet:
    if not prompts.texts or not all(text.strip() for text in prompts.texts):
        raise SettingsError(f"{place} has no prompts, or a blank one", "Write at least one prompt, one a line.")
    if len(set(prompts.texts)) != len(prompts.texts):
        raise SettingsError(f"{place} has the same prompt twice", "Each prompt counts as one opinion; remove one.")
    if len(set(prompts.labels)) != len(prompts.labels) or len(prompts.labels) < 2:
        raise SettingsError(f"{place}: labels must be two or more different strings", 'For example ["1", "2", "3"].')
    for name in ("prompt", "instruction", "response"):
        if prompts.template.count("{" + name + "}") != 1:
            raise SettingsError(
                f"{place}: the template must have {{{name}}} exactly once", f"The packaged one is {TEMPLATE!r}."
            )
    return prompts


def _fingerprint(parts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
