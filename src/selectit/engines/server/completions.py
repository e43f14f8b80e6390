"""What a server is asked, in which form, and what its answers mean: the next token's probabilities, and replies.

Which token is a label's, in what the server returns for the next token:

- Where the labels' token ids are known (from the tokenizer here, or from the server's `/tokenize`), an entry that
  carries an id (`"token_id:33"`, or a field `id`) is compared by id and by nothing else.
- Every other entry is compared by its text, which must be the label's exactly: `" 1"` is not `"1"`. The raw pieces of
  vocabularies that write a leading space as `▁` or `Ġ` are read with a space there, so `"▁1"` is `" 1"` and not `"1"`.
- Of several entries that fit, the likeliest counts.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from selectit.engines.server.endpoint import KEYS, Endpoint, Malformed, RequestFailed, unicode
from selectit.errors import EngineError, ModelError
from selectit.signals.arrays import Float32
from selectit.text_tables import printable

T = TypeVar("T")
log = logging.getLogger(__name__)
_PROBE = "The numbers after 1 2 3 are"
_TOPS = (20, 5)  # vLLM's limit by default; OpenAI's
_MOST_TOKENS = 2**31 - 1  # what a stored count can say
_UNFIT = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What is raised where a JSON value is read that is not of the form it should have."""
_LOGPROBS = "vLLM, SGLang and llama.cpp give them; text-generation-inference does not. Or use --engine hf."


@dataclass(frozen=True, slots=True)
class Entry:
    """One possible next token with its natural-log probability, as the server names it."""

    id: int | None
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class NextToken:
    """What a completion says of the next token, and the tokens of its prompt (0 = not sent)."""

    entries: tuple[Entry, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What a chat completion says."""

    text: str | None
    """None = it has none."""
    end: str
    """Why it ended, in the server's word."""
    tokens: int
    """Of its prompt, 0 = not sent."""


@dataclass(frozen=True, slots=True)
class Asking:
    """The form of request that the server takes."""

    top: int
    """So many of the likeliest tokens are asked for."""
    names_ids: bool
    """Whether vLLM's return_tokens_as_token_ids is sent: tokens of equal text can be told apart."""
    takes_ids: bool
    """Whether vLLM's logprob_token_ids is sent, which returns exactly the labels."""

    @property
    def name(self) -> str:
        return "ids" if self.takes_ids else f"top {self.top}"

    def body(self, model: str, prompt: str | list[int], ids: Sequence[int] | None) -> dict[str, Any]:
        """A request for the next token's probabilities."""
        body: dict[str, Any] = {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0}
        body["logprobs"] = self.top
        if self.names_ids:
            body["return_tokens_as_token_ids"] = True
        if self.takes_ids and ids is not None:
            body["logprob_token_ids"] = list(ids)
        return body


@dataclass(frozen=True, slots=True)
class Labels:
    """A prompt's R labels, with their token ids where they are known."""

    texts: tuple[str, ...]
    ids: tuple[int, ...] | None

    def values(self, entries: Sequence[Entry]) -> Float32:
        """(R,) natural-log probability of each label by the rule of this module, NaN where it is not returned."""
        found = np.full(len(self.texts), np.nan, np.float32)
        for entry in entries:
            at = self._place(entry)
            if at is not None and not found[at] >= entry.logprob:
                found[at] = entry.logprob
        return found

    def _place(self, entry: Entry) -> int | None:
        if self.ids is not None and entry.id is not None:
            return self.ids.index(entry.id) if entry.id in self.ids else None
        text = " " + entry.text[1:] if entry.text[:1] in ("▁", "Ġ") else entry.text
        return self.texts.index(text) if text in self.texts else None


class Server:
    """A model on a server: what can be asked of it. `asking` and `tokenizes` are found by `meet`."""

    def __init__(self, endpoint: Endpoint, name: str) -> None:
        self.endpoint = endpoint
        self.name = name
        self.asking = Asking(_TOPS[0], names_ids=False, takes_ids=False)
        self.tokenizes = False
        self._models: tuple[str, ...] = ()

    async def listed(self) -> int | None:
        """The model's context length in tokens, where the server lists it; notes which models there are."""
        try:
            found = await self.endpoint.ask(f"{self.endpoint.url}/models", None, _read_models)
        except RequestFailed:
            return None  # a server need not list its models; the first completion says whether it has this one
        self._models = tuple(found)
        return found.get(self.name)

    async def meet(self, tokenizer: Any | None) -> None:
        """Find out whether the server tokenises and how labels can be asked for. Raises as `load` does."""
        try:
            plain = await self.tokens(_PROBE, special=False)
        except RequestFailed:
            plain = []
        self.tokenizes = bool(plain)
        prompt: str | list[int] = _PROBE
        if tokenizer is not None:
            own: list[int] = tokenizer(_PROBE, add_special_tokens=False)["input_ids"]
            if plain and own != plain:
                hint = "Name the tokenizer of the model that is served, or leave --tokenizer out."
                raise ModelError(f"--tokenizer makes other tokens than the server's model {self.name}", hint)
            prompt = tokenizer(_PROBE)["input_ids"]
            plain = own
        self.asking = await self._form(prompt, list(dict.fromkeys(plain))[:2])

    async def _form(self, prompt: str | list[int], ids: Sequence[int]) -> Asking:
        """The best form of request that the server takes."""
        forms = [Asking(_TOPS[0], names_ids=True, takes_ids=True)] * bool(ids)
        forms += [Asking(top, names_ids=False, takes_ids=False) for top in _TOPS]
        refusal = ""
        for form in forms:
            try:
                answer = await self.complete(form.body(self.name, prompt, ids))
            except RequestFailed as error:
                if error.status not in (400, 422):
                    raise EngineError(str(error), "Look at the server's log.") from error
                refusal = str(error)
                continue
            if not answer.entries:
                raise EngineError("the server returns no log-probabilities of the next token", _LOGPROBS)
            if form.takes_ids and not _only(ids, answer.entries):
                form = Asking(form.top, names_ids=True, takes_ids=False)
            if not form.takes_ids:
                log.info("the server returns its %d likeliest tokens; a label not among them is missing", form.top)
            return form
        hint = "If it takes no token ids as prompt, leave --tokenizer out." if isinstance(prompt, list) else _LOGPROBS
        raise EngineError(f"the server refuses the request: {refusal}", hint)

    async def complete(self, body: Mapping[str, Any]) -> NextToken:
        """The answer to one request. Raises RequestFailed; EngineError where the key, model or address is wrong."""
        return await self._ask("/completions", body, read_answer, "--model")

    async def chat(self, system: str, text: str, max_tokens: int) -> ChatReply:
        """The greedy reply to a text, of at most so many tokens. Raises as `complete` does."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        body = {"model": self.name, "messages": messages, "max_tokens": max_tokens, "temperature": 0}
        return await self._ask("/chat/completions", body, read_reply, "--judge")

    async def _ask(self, route: str, body: Mapping[str, Any], read: Callable[[Any], T], flag: str) -> T:
        """The answer to one request; `flag` is the option that names the model. Raises as `complete` does."""
        url = self.endpoint.url + route
        try:
            return await self.endpoint.ask(url, body, read)
        except RequestFailed as error:
            if error.status in (401, 403):  # what the server says may have parts of the key in it
                hint = f"Set the variable {KEYS[0]} (or {KEYS[1]}) to the server's key."
                raise EngineError(f"the server refuses the key ({error.status})", hint) from None
            if error.status == 404 and self._models and self.name not in self._models:
                hint = (
                    f"Name one of the server's with {flag}: {', '.join(map(self.endpoint.clean, self._models[:10]))}."
                )
                raise EngineError(f"the server has no model {self.name!r}", hint) from error
            if error.status in (404, 405):
                hint = f"--base-url is what stands before {route}, {flag} the name under which it is served."
                raise EngineError(f"{url}: {error}", hint) from error
            raise

    async def tokens(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of a text by the server's /tokenize (vLLM's, SGLang's and llama.cpp's words). RequestFailed."""
        body = {"model": self.name, "prompt": text, "add_special_tokens": special}
        body |= {"content": text, "add_special": special}
        return await self.endpoint.ask(self.endpoint.url.removesuffix("/v1") + "/tokenize", body, _read_tokens)


def read_answer(value: Any) -> NextToken:
    """The next token's probabilities in a completion; without entries where there are none. Raises Malformed.

    Reads OpenAI's form (`logprobs.top_logprobs`: one mapping a position) and llama.cpp's (`logprobs.content`: one
    object a position, with `top_logprobs` as a list of objects).
    """
    try:
        choices = [choice for choice in value["choices"] if choice.get("index", 0) == 0]
        logprobs = choices[0].get("logprobs") or {}
        if logprobs.get("content"):
            listed = logprobs["content"][0]["top_logprobs"]
            found = [(entry.get("id"), entry["token"], entry["logprob"]) for entry in listed]
        else:
            found = [(None, *item) for item in ((logprobs.get("top_logprobs") or [None])[0] or {}).items()]
        entries = tuple(_entry(*each) for each in found if each[2] is not None)
        tokens = _count_tokens(value)
    except _UNFIT as error:
        raise Malformed(f"no completion with log-probabilities: {type(error).__name__} {error}") from error
    return NextToken(entries, tokens)


def read_reply(value: Any) -> ChatReply:
    """The text of a chat completion; white space alone is none. Raises Malformed."""
    try:
        choice = next(choice for choice in value["choices"] if choice.get("index", 0) == 0)
        text, end = choice["message"].get("content"), printable(" ".join(str(choice.get("finish_reason")).split()))[:80]
        tokens = _count_tokens(value)
    except (*_UNFIT, StopIteration) as error:
        raise Malformed(f"no chat completion: {type(error).__name__} {error}") from error
    if text is not None and not isinstance(text, str):
        raise Malformed(f"the content of the message is no text but {type(text).__name__}")
    return ChatReply(unicode(text) if text and text.strip() else None, end, tokens)


def _count_tokens(value: Any) -> int:
    """Tokens of the prompt, 0 = not sent. Raises Malformed where there can't be so many, and what `_UNFIT` lists."""
    tokens = int((value.get("usage") or {}).get("prompt_tokens") or 0)
    if not 0 <= tokens <= _MOST_TOKENS:
        raise Malformed(f"a prompt of {tokens:.6g} tokens")
    return tokens


def _entry(number: int | None, text: str, logprob: float) -> Entry:
    """Raises Malformed where the log-probability is none, and what `_UNFIT` lists."""
    if not isinstance(number, int | None):
        raise Malformed("the id of a token is no number")
    value = float(logprob)
    if not math.isfinite(value) or value > 1e-3:
        raise Malformed(f"{logprob} is no log-probability")
    start, colon, digits = text.partition(":")
    if number is None and start == "token_id" and colon and digits.isdecimal():
        number = int(digits)
    return Entry(number, text, min(value, 0.0))


def _only(ids: Sequence[int], entries: Sequence[Entry]) -> bool:
    """Whether the server took the ids that it was asked for: it returns them, and not its likeliest tokens.

    Two more may be there: the sampled token, and vLLM's padding where another request of its batch asks for more ids.
    """
    return set(ids) <= {entry.id for entry in entries} and len(entries) <= len(ids) + 2


def _read_models(value: Any) -> dict[str, int | None]:
    """Names of the models with their context lengths. Raises Malformed."""
    try:
        found = {str(model["id"]): model.get("max_model_len") for model in value["data"]}
    except _UNFIT as error:
        raise Malformed("no list of models") from error
    return {name: length if isinstance(length, int) and length > 1 else None for name, length in found.items()}


def _read_tokens(value: Any) -> list[int]:
    """Token ids. Raises Malformed."""
    tokens = value.get("tokens") if isinstance(value, dict) else None
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, int) for token in tokens):
        raise Malformed("no list of tokens")
    return tokens
