"""The `server` engine: asks a model on a running OpenAI-compatible server.

It rates by `/v1/completions` and answers questions by `/v1/chat/completions`; a server needs only the one that is used.
It resolves the settings, fits texts and keeps many requests under way; `completions` knows what is asked and answered,
`endpoint` how to try again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from selectit.data.records import Sample
from selectit.engines.base import MAX_TOKENS, Failures, Rated
from selectit.engines.fitting import FittedText
from selectit.engines.server.completions import Labels, Server
from selectit.engines.server.endpoint import Endpoint, Patience, RequestFailed
from selectit.errors import EngineError, ModelError, SettingsError
from selectit.signals.arrays import FLAG_FLOOR, FLAG_UNFINISHED
from selectit.signals.base import OnBatch
from selectit.signals.judgements import Reply
from selectit.signals.ratings import RatingBatch
from selectit.signals.requests import JudgeRequest, RatingPrompt

if TYPE_CHECKING:
    from selectit.engines.texts import Texts


T = TypeVar("T")
log = logging.getLogger(__name__)


CONCURRENCY = 16
"""Requests under way at one time."""


JUDGED = 64
"""After so many answers it is judged whether the server returns the labels at all."""


_HINT = "The server is at fault, not the rows: look at its log, or lower --concurrency. What is finished is kept."


def load(
    name: str,
    *,
    base_url: str,
    tokenizer_path: str = "",
    tokenizer_name: str = "",
    context: int | None = None,
    max_tokens: int | None = None,
    overflow: str | None = None,
    missing_label: str = "nan",
    concurrency: int = CONCURRENCY,
    parameters: int = 0,
    trust_remote_code: bool = False,
    patience: Patience = Patience(),
) -> ServerEngine:
    """Meet the server, and find out how it can be asked for labels.

    Args:
        name: the model's name on the server.
        base_url: what stands before /completions.
        tokenizer_path: folder of the model's tokenizer, '' = the server makes the tokens.
        tokenizer_name: what to call it in the run.
        context: tokens that the model reads at most, where that is known.
        max_tokens: longest rated text; needs a tokenizer. None = the smaller of the context and 4,096.
        overflow: 'cut' the response of a longer text (needs a tokenizer) or 'refuse' it.
        missing_label: 'nan' leaves a label that is not returned missing; 'floor' takes the smallest log-probability
            that was returned with it.
        concurrency: requests under way at one time.
        parameters: parameter count of the model, 0 = unknown.
        trust_remote_code: run Python code that comes with the tokenizer.
        patience: how long to try.

    Raises:
        EngineError: the server can't be reached, refuses the key or the model, or gives no log-probabilities.
        SettingsError: max_tokens is above what the server takes.
        ModelError: the tokenizer can't be loaded, or is not the server's.
    """
    with ExitStack() as stack:
        endpoint = Endpoint(base_url, concurrency, patience)
        stack.callback(endpoint.close)
        server = Server(endpoint, name)
        listed = endpoint.run(server.listed())
        if listed is not None:
            context = min(context or listed, listed)
        texts = None
        if tokenizer_path:
            from selectit.engines.texts import Texts, load_tokenizer

            limit = _limit(max_tokens, context)
            texts = Texts(load_tokenizer(tokenizer_path, trust_remote_code), limit, overflow or "cut")
        elif max_tokens or overflow == "cut":
            raise SettingsError("a text can't be cut without its tokenizer", "Name it with --tokenizer.")
        endpoint.run(server.meet(texts.tokenizer if texts is not None else None))
        settings: dict[str, str | int] = {
            "engine": "server",
            "model": name,
            "labels": server.asking.name,
            "max_tokens": texts.max_tokens if texts is not None else 0,
            "overflow": texts.overflow if texts is not None else "refuse",
            "missing_label": missing_label,
            "tokenizer": tokenizer_name if tokenizer_path else "",
        }
        stack.pop_all()
        return ServerEngine(server, texts, settings, parameters)


def load_judge(
    name: str, *, base_url: str, concurrency: int = CONCURRENCY, patience: Patience = Patience()
) -> ServerJudge:
    """Meet the server of a model that is asked questions; nothing of it is tried but its list of models.

    Args: as of `load`.

    Raises:
        EngineError: the server can't be reached.
        SettingsError: base_url is no address.
    """
    with ExitStack() as stack:
        endpoint = Endpoint(base_url, concurrency, patience)
        stack.callback(endpoint.close)
        server = Server(endpoint, name)
        endpoint.run(server.listed())
        stack.pop_all()
        return ServerJudge(server)


def _limit(max_tokens: int | None, context: int | None) -> int:
    """Longest rated text; one token is left for the answer. Raises SettingsError."""
    room = context - 1 if context is not None else None
    if max_tokens is not None and room is not None and max_tokens > room:
        raise SettingsError(f"--max-tokens is {max_tokens}, and the server takes {room} at most", "Give a smaller one.")
    return max_tokens or min(room or MAX_TOKENS, MAX_TOKENS)


class ServerEngine:
    """A model on a server that rates: `RatesLabels`. Made by `load`."""

    def __init__(self, server: Server, texts: Texts | None, settings: Mapping[str, str | int], parameters: int) -> None:
        self._server = server
        self._texts = texts
        self._known: dict[str, Labels] = {}
        self._answered = 0
        self._without = 0
        self.settings = settings
        self.parameters = parameters

    def rate(self, prompts: Sequence[RatingPrompt], samples: Sequence[Sample], on_batch: OnBatch) -> list[RatingBatch]:
        """Rate `samples` under each of `prompts`; see `RatesLabels.rate`.

        Raises also EngineError where more than half of the first 64 answers lack labels.
        """
        return self._server.endpoint.run(self._rate(prompts, samples, on_batch))

    def close(self) -> None:
        """Close the connections."""
        self._server.endpoint.close()

    async def _rate(
        self, prompts: Sequence[RatingPrompt], samples: Sequence[Sample], on_batch: OnBatch
    ) -> list[RatingBatch]:
        labels = [await self._labels(prompt, samples[:1]) for prompt in prompts]
        rated = [Rated.of(self._fit(prompt, samples), len(prompt.labels)) for prompt in prompts]

        # One queue for all workers; sample by sample, so that a server that keeps prefixes has the shared one at hand.
        queue = ((at, p) for at in range(len(samples)) for p in range(len(prompts)) if at in rated[p].ids)

        async def rate(place: tuple[int, int]) -> None:
            at, p = place
            prompt: str | list[int] = rated[p].ids[at]
            if self._texts is None:
                prompt = prompts[p].render(samples[at].instruction, samples[at].response)
            await self._rate_one(prompt, labels[p], rated[p], at)
            on_batch(1, int(rated[p].tokens[at]))

        await _each(queue, rate, self._server.endpoint.concurrency)
        return [each.result() for each in rated]

    async def _rate_one(self, prompt: str | list[int], labels: Labels, rated: Rated, at: int) -> None:
        """Ask for one rating and note it, or why there is none."""
        server = self._server
        try:
            answer = await server.complete(server.asking.body(server.name, prompt, labels.ids))
        except RequestFailed as failure:
            try:
                rated.fail(at, str(failure))
            except EngineError as error:
                raise EngineError(error.message, _HINT) from failure
            return
        if self._texts is None:
            rated.tokens[at] = answer.tokens
        values = labels.values(answer.entries)
        missing = np.isnan(values)
        if self.settings["missing_label"] == "floor" and missing.any() and not missing.all():
            values[missing] = min(entry.logprob for entry in answer.entries)
            rated.flags[at] |= FLAG_FLOOR
            missing[:] = False
        self._judge(bool(missing.any()))
        if not missing.any():
            rated.store([at], values[None])
            return
        # Not `fail`: a row without labels is no sign of a broken server, however many follow each other.
        which = ", ".join(label for label, gone in zip(labels.texts, missing, strict=True) if gone)
        rated.logprob[at] = values
        rated.errors[at] = f"the server did not return the labels {which}"
        rated.failures.reset()

    def _judge(self, without: bool) -> None:
        """Count an answer. Raises EngineError where too many of the first lack labels."""
        self._answered += 1
        self._without += without
        if self._answered == JUDGED and self._without > JUDGED // 2:
            raise EngineError(
                f"{self._without} of the first {JUDGED} answers lack labels: the server returns its likeliest tokens",
                "Serve the model with vLLM and give --tokenizer: it returns any label. Or try other --prompts. "
                "--missing-label floor puts the smallest log-probability returned in a missing one's place.",
            )

    def _fit(self, prompt: RatingPrompt, samples: Sequence[Sample]) -> Iterator[FittedText | str]:
        """Each sample's token ids within the limit, or why it has none; no ids where the server makes them."""
        if self._texts is not None:
            return self._texts.fit_all(prompt, samples)
        return (FittedText([], False) for _ in samples)

    async def _labels(self, prompt: RatingPrompt, samples: Sequence[Sample]) -> Labels:
        """The prompt's labels, checked once. Raises ModelError where one isn't one token after the text."""
        if self._texts is None and prompt.chat:
            raise ModelError("--chat needs the model's chat template", "Name the model's tokenizer with --tokenizer.")
        if prompt.fingerprint not in self._known:
            ids = None
            if self._texts is not None:
                ids = self._texts.label_ids(prompt, samples)
            elif self._server.tokenizes:
                ids = await self._ids_by_server(prompt, samples)
            elif not self._known:
                log.info(
                    "the server has no /tokenize: that each label is one token can't be checked without --tokenizer"
                )
            self._known[prompt.fingerprint] = Labels(prompt.labels, None if ids is None else tuple(ids))
        return self._known[prompt.fingerprint]

    async def _ids_by_server(self, prompt: RatingPrompt, samples: Sequence[Sample]) -> list[int]:
        """The one token that each label is after a rated text, by the server's /tokenize. Raises ModelError.

        As `Texts.label_ids`: where text and label are not the text's tokens plus one, since a tokenizer splits white
        space by what follows it, it is enough that the last token is the one that the label is alone.
        """
        hint = "Choose labels that are one token each after the template's last line, or try with --tokenizer."
        server = self._server
        ids: list[int] = []
        for instruction, response in [("", ""), *((sample.instruction, sample.response) for sample in samples)]:
            text = prompt.render(instruction, response)
            try:
                own, *longer = await asyncio.gather(*(server.tokens(text + label) for label in ("", *prompt.labels)))
                alone = await asyncio.gather(*(server.tokens(label, special=False) for label in prompt.labels))
            except RequestFailed as error:
                raise EngineError(f"/tokenize failed: {error}", _HINT) from error
            for label, tokens, single in zip(prompt.labels, longer, alone, strict=True):
                if tokens[:-1] != own and tokens[-1:] != single:
                    raise ModelError(f"the label {label!r} isn't one token of its own after the rated text", hint)
            ids = [tokens[-1] for tokens in longer]
            if len(set(ids)) != len(ids):
                raise ModelError(f"two of the labels {prompt.labels} are the same token: {ids}", hint)
        return ids


class ServerJudge:
    """A model on a server that answers questions: `Replies`. Made by `load_judge`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.settings: Mapping[str, str | int] = {"engine": "server", "model": server.name}
        self.parameters = 0

    def reply(self, question: JudgeRequest, samples: Sequence[Sample], on_batch: OnBatch) -> list[Reply]:
        """The server's answer at temperature 0 to the question about each sample; see `Replies.reply`.

        Raises:
            EngineError: `SAME_ERROR_LIMIT` samples in a row have no answer for the same reason; the key, the model or
                the address is wrong.
        """
        return self._server.endpoint.run(self._reply(question, samples, on_batch))

    def close(self) -> None:
        """Close the connections."""
        self._server.endpoint.close()

    async def _reply(self, question: JudgeRequest, samples: Sequence[Sample], on_batch: OnBatch) -> list[Reply]:
        replies = [Reply(None)] * len(samples)
        failures = Failures()

        async def ask(at: int) -> None:
            replies[at], tokens = await self._reply_one(question, samples[at])
            if replies[at].error:
                _count(failures, replies[at].error)
            else:
                failures.reset()
            on_batch(1, tokens)

        await _each(range(len(samples)), ask, self._server.endpoint.concurrency)
        return replies

    async def _reply_one(self, question: JudgeRequest, sample: Sample) -> tuple[Reply, int]:
        """The answer, or why there is none, and the tokens of what was asked."""
        try:
            said = await self._server.chat(question.system, question.of(sample), question.max_new_tokens)
        except RequestFailed as failure:
            return Reply(None, str(failure)), 0
        error = "" if said.text is not None else f"the server's answer has no text (finish_reason: {said.end})"
        return Reply(said.text, error, FLAG_UNFINISHED * (said.end == "length")), said.tokens


def _count(failures: Failures, error: str) -> None:
    """Count a failure. Raises EngineError where it is the last of too many in a row."""
    try:
        failures.add(error)
    except EngineError as stop:
        raise EngineError(stop.message, _HINT) from stop


async def _each(places: Iterable[T], do: Callable[[T], Awaitable[None]], concurrency: int) -> None:
    """Do each of `places`, so many at one time; the first that raises ends them all."""
    queue = iter(places)

    async def work() -> None:
        for place in queue:
            await do(place)

    workers = [asyncio.create_task(work()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
