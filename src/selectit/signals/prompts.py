"""Rating prompts: K wordings, one template, R labels. K and R are different numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from selectit.errors import SettingsError, read_user_text
from selectit.jsonable import parse_toml
from selectit.signals.ratings import LABELS, LAYOUTS, TEMPLATE, RatingPrompt, fingerprint_of


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
    def sees_response(self) -> bool:
        """Whether the response is rated too, and not the instruction alone."""
        return "{response}" in self.template

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits that change with anything in the set but its name."""
        return fingerprint_of([self.template, *self.labels, "chat" if self.chat else "", *self.texts])


PACKAGED = ("default", "aspects", "yes-no")
"""The sets that come with the package: nine wordings of one question; three aspects of quality; yes or no."""


def packaged(name: str = "default") -> PromptSet:
    """A set that comes with the package."""
    text = (resources.files("selectit.signals") / "prompt_files" / f"{name}.toml").read_text(encoding="utf-8")
    return parse(text, f"{name}.toml")


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
    hint = f"Give a UTF-8 text file with one prompt a line, or one of {', '.join(PACKAGED)}."
    text = read_user_text(path, "prompt file", hint)
    if path.suffix == ".toml":
        return parse(text, str(path))
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


def parse(text: str, place: str) -> PromptSet:
    """A prompt set from the text of TOML; `place` is for messages. Raises SettingsError."""
    try:
        table = parse_toml(text)
    except ValueError as error:
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
        count = prompts.template.count("{" + name + "}")
        if count > 1 or (not count and name != "response"):
            raise SettingsError(
                f"{place}: the template must have {{{name}}} exactly once", f"The packaged one is {TEMPLATE!r}."
            )
    return prompts
