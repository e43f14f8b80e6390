"""A model's chat template: code of others, which may have no place for a system text, and may fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from selectit.errors import ModelError

TEMPLATE_ERRORS = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a template that is not as it should be raises."""


_SYSTEM_BEFORE_USER = """\
{%- set folded = namespace(messages=[], system='') %}\
{%- for message in messages %}\
{%- if message['role'] == 'system' %}{%- set folded.system = folded.system + message['content'] + '\\n\\n' %}\
{%- elif message['role'] == 'user' %}\
{%- set whole = {'role': 'user', 'content': folded.system + message['content']} %}\
{%- set folded.messages = folded.messages + [whole] %}{%- set folded.system = '' %}\
{%- else %}{%- set folded.messages = folded.messages + [message] %}{%- endif %}\
{%- endfor %}\
{%- if folded.system %}{{- raise_exception('no text of the user follows the system text') }}{%- endif %}\
{%- set messages = folded.messages %}{{- '' }}"""


def place_system_text(tokenizer: Any) -> None:
    """Where the chat template refuses a system text, or leaves it out, let it stand before the user's next text.

    That is what the makers of such models (Gemma, Mistral) advise. Other templates stay as they are.
    """
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, str) and not _takes_system_text(tokenizer):
        tokenizer.chat_template = _SYSTEM_BEFORE_USER + template


def _takes_system_text(tokenizer: Any) -> bool:
    """Whether a system text comes out of the template; True too where a user's alone fails, which this can't mend."""
    user, system = {"role": "user", "content": "USERTEXT"}, {"role": "system", "content": "SYSTEMTEXT"}
    try:
        tokenizer.apply_chat_template([user], tokenize=False)
    except TEMPLATE_ERRORS:
        return True
    try:
        return "SYSTEMTEXT" in tokenizer.apply_chat_template([system, user], tokenize=False)
    except TEMPLATE_ERRORS:
        return False


def render_chat(tokenizer: Any, messages: Sequence[Mapping[str, str]], remedy: str, *, asks: bool = True) -> str:
    """The messages as the model's chat template writes them.

    Args:
        tokenizer: has the template.
        messages: each has a role and content.
        remedy: what the user can do where the template fails.
        asks: up to where the next answer begins.

    Raises ModelError where the template fails.
    """
    try:
        text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=asks)
    except TEMPLATE_ERRORS as error:
        raise ModelError(f"the chat template of {tokenizer.name_or_path} fails: {error}", remedy) from error
    return text


@dataclass(frozen=True, slots=True)
class AnswerFrame:
    """What a chat template writes around a user's message and before its answer."""

    template: str
    """All before the answer; holds {instruction} once."""
    header: str
    """The end of that which belongs to the answer: what the template adds where an answer is asked for; may be ''."""
    lead: str
    """What the template begins each answer with: '' or a space, which makes one token with the answer's first word."""


def frame_answer(tokenizer: Any) -> AnswerFrame:
    """What stands around an answer in the model's chat template.

    The template writes its own start token, and a tokenizer adds one where it is used to: one is taken away. Raises
    ModelError where there is no template, or it fails or changes texts.
    """
    if not tokenizer.chat_template:
        raise ModelError(
            "this model has no chat template",
            "Choose another template, or leave chat out; or name a chat model; in an experiment: base = false.",
        )
    place, answer = "{instruction}", "{answer}"
    asked = [{"role": "user", "content": place}]
    remedy = "Choose another template, or leave chat out; or name another chat model; in an experiment: base = false."
    prompt = render_chat(tokenizer, asked, remedy)
    unasked = render_chat(tokenizer, asked, remedy, asks=False)
    whole = render_chat(tokenizer, [*asked, {"role": "assistant", "content": answer}], remedy, asks=False)
    if prompt.count(place) != 1:
        raise ModelError("this model's chat template changes the text of a message", remedy)
    header = prompt.removeprefix(unasked) if prompt.startswith(unasked) else ""
    lead = whole.removeprefix(prompt).partition(answer)[0] if whole.startswith(prompt) else ""
    start = tokenizer.bos_token or ""
    adds = bool(start) and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]
    return AnswerFrame(prompt.removeprefix(start) if adds else prompt, header, lead)
